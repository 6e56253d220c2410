import type { CephPlugins } from './programs.ts';
import type { CephPlace } from './place.ts';
import type { CephState } from './state.ts';

/** Names of the pools and users that a gateway's zone has when nothing else is said. */
export const dataPool = 'default.rgw.buckets.data';
export const gatewayName = 'client.rgw.a';
/** An OSD that is killed is missed after this long; Ceph's own 20 s make tests wait. */
const osdGraceSeconds = 6;
/**
 * Ceph waits without an end where it cannot write, as with a full pool or with too few OSDs. With this the gateway answers with an error instead,
 * which a client can tell from a slow answer.
 */
const gatewayPatienceSeconds = 15;

/** Everything on loopback, small, and from the folder of the programs instead of absolute places of the machine. */
export function cephConf(place: CephPlace, { shape, monPort, gatewayPort }: CephState, fsid: string, plugins: CephPlugins): string {
  const copies = shape.osds === 1 ? { size: 1, least: 1 } : { size: 3, least: 2 };
  const sections: Readonly<Record<string, Readonly<Record<string, string | number | boolean>>>> = {
    global: {
      fsid,
      mon_initial_members: 'a',
      mon_host: `[v2:127.0.0.1:${monPort}]`,
      ms_bind_msgr1: false,
      public_addr: '127.0.0.1',
      cluster_addr: '127.0.0.1',
      auth_cluster_required: 'cephx',
      auth_service_required: 'cephx',
      auth_client_required: 'cephx',
      auth_allow_insecure_global_id_reclaim: false,
      keyring: place.keyring,
      // Not made: nobody asks there, and paths of sockets must be short.
      admin_socket: '',
      log_file: '',
      crash_dir: place.logs,
      plugin_dir: plugins.plugins,
      erasure_code_dir: plugins.erasureCodes,
      compressor_dir: plugins.compressors,
      osd_crush_chooseleaf_type: 0,
      osd_pool_default_size: copies.size,
      osd_pool_default_min_size: copies.least,
      osd_pool_default_pg_num: 8,
      osd_pool_default_pg_autoscale_mode: 'off',
    },
    mon: {
      mon_data: place.mon,
      log_to_stderr: true,
      mon_cluster_log_to_file: false,
      mon_cluster_log_to_stderr: false,
      mon_allow_pool_size_one: true,
      mon_allow_pool_delete: true,
      mon_max_pg_per_osd: 1000,
      // Of the machine's disk, which is not Ceph's alone.
      mon_data_avail_warn: 2,
      mon_data_avail_crit: 1,
      // One OSD's word that another is gone is enough.
      mon_osd_min_down_reporters: 1,
      mon_warn_on_pool_no_redundancy: false,
    },
    osd: {
      osd_data: place.osd('$id'),
      log_to_stderr: true,
      osd_objectstore: 'bluestore',
      osd_class_dir: plugins.classes,
      osd_memory_target: 1024 ** 3,
      osd_heartbeat_interval: 1,
      osd_heartbeat_grace: osdGraceSeconds,
      osd_scrub_load_threshold: 100,
      bluestore_block_size: shape.osdBytes,
    },
    [gatewayName]: {
      log_to_stderr: true,
      rgw_data: place.home,
      rgw_frontends: `beast endpoint=127.0.0.1:${gatewayPort}`,
      rgw_thread_pool_size: 64,
      rgw_s3_auth_use_sts: true,
      rgw_crypt_require_ssl: false,
      rados_osd_op_timeout: gatewayPatienceSeconds,
    },
  };
  return Object.entries(sections)
    .map(([name, options]) => [`[${name}]`, ...Object.entries(options).map(([option, value]) => `${option} = ${value}`), ''].join('\n'))
    .join('\n');
}
