import { dirname, join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import { programFile, programFolder } from './binaries.ts';
import { type ClusterPlace, type NodePlace, clusterDomain, controlAddress, podRange } from './place.ts';

/** Image of the container that holds a pod's namespaces. */
export const pauseImage = 'docker.io/modelwright/pause:1';

/** Kubelets listen in one network namespace. */
const kubeletPort = (node: NodePlace): number => 10_250 + node.number;
const healthPort = (node: NodePlace): number => 10_350 + node.number;

/** A string of TOML, which JSON's are as well. */
const quote = (text: string): string => JSON.stringify(text);
/** A word of a shell script. */
export const shellWord = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The container runtime of one node; everything that it would write elsewhere lies in the node's folder or in its private /run. */
export function containerdConfig(node: NodePlace, paths: Paths): string {
  const unused = ['btrfs', 'devmapper', 'zfs', 'blockfile', 'erofs'].map((name) => `io.containerd.snapshotter.v1.${name}`);
  const disabled = [...unused, 'io.containerd.nri.v1.nri', 'io.containerd.internal.v1.tracing'];
  return [
    'version = 3',
    `root = ${quote(join(node.folder, 'containerd'))}`,
    `state = ${quote(join(node.folder, 'containerd-state'))}`,
    `disabled_plugins = ${JSON.stringify(disabled)}`,
    '[grpc]',
    `address = ${quote(node.socket)}`,
    '[ttrpc]',
    `address = ${quote(`${node.socket}.ttrpc`)}`,
    "[plugins.'io.containerd.internal.v1.opt']",
    `path = ${quote(join(node.folder, 'opt'))}`,
    "[plugins.'io.containerd.cri.v1.images']",
    'snapshotter = "overlayfs"',
    "[plugins.'io.containerd.cri.v1.images'.pinned_images]",
    `sandbox = ${quote(pauseImage)}`,
    "[plugins.'io.containerd.cri.v1.runtime']",
    'max_container_log_line_size = 262144',
    // Root of a container or small virtual machine may not raise its own priority.
    'restrict_oom_score_adj = true',
    'netns_mounts_under_state_dir = true',
    "[plugins.'io.containerd.cri.v1.runtime'.cni]",
    `bin_dirs = [${quote(programFolder(paths, 'cni'))}]`,
    `conf_dir = ${quote(join(node.folder, 'cni'))}`,
    "[plugins.'io.containerd.cri.v1.runtime'.containerd]",
    'default_runtime_name = "runc"',
    "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]",
    'runtime_type = "io.containerd.runc.v2"',
    "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]",
    `BinaryName = ${quote(programFile(paths, 'runc', 'runc'))}`,
    'SystemdCgroup = false',
    '',
  ].join('\n');
}

/** Pods of one node hang on a bridge of their own; the cluster's namespace routes between the bridges. */
export function podNetworkConfig(node: NodePlace): string {
  const ipam = {
    type: 'host-local',
    dataDir: join(node.folder, 'addresses'),
    ranges: [[{ subnet: podRange(node.number) }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const bridge = { type: 'bridge', bridge: `pods${node.number}`, isGateway: true, ipMasq: false, hairpinMode: true, ipam };
  return JSON.stringify({ cniVersion: '1.0.0', name: `pods${node.number}`, plugins: [bridge] });
}

export function kubeletConfig(place: ClusterPlace, node: NodePlace): string {
  return JSON.stringify(
    {
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      failCgroupV1: false,
      cgroupDriver: 'cgroupfs',
      cgroupRoot: `/${node.cgroup}`,
      containerRuntimeEndpoint: `unix://${node.socket}`,
      address: node.address,
      port: kubeletPort(node),
      healthzBindAddress: '127.0.0.1',
      healthzPort: healthPort(node),
      readOnlyPort: 0,
      authentication: {
        anonymous: { enabled: false },
        webhook: { enabled: true },
        x509: { clientCAFile: join(place.pki, 'ca.crt') },
      },
      authorization: { mode: 'Webhook' },
      tlsCertFile: join(place.pki, `${node.name}-server.crt`),
      tlsPrivateKeyFile: join(place.pki, `${node.name}-server.key`),
      podLogsDir: join(node.folder, 'pod-logs'),
      volumePluginDir: join(node.folder, 'volume-plugins'),
      clusterDNS: [controlAddress],
      clusterDomain,
      resolvConf: join(node.folder, 'resolv.conf'),
      failSwapOn: false,
      maxPods: 110,
      serializeImagePulls: false,
      // In bytes: of a large disk that is nearly full, a percentage would evict every pod.
      evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '200Mi', 'imagefs.available': '200Mi', 'nodefs.inodesFree': '1000' },
      // Images come from no registry: none may be thrown away.
      imageGCHighThresholdPercent: 100,
      nodeStatusUpdateFrequency: '2s',
      nodeLeaseDurationSeconds: 10,
      syncFrequency: '10s',
      kubeAPIQPS: 100,
      kubeAPIBurst: 200,
      registryPullQPS: 0,
      eventRecordQPS: 0,
      volumeStatsAggPeriod: '10s',
    },
    null,
    2,
  );
}

/** Whether a folder is another or lies in it. */
const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/**
 * Shell script that makes a node's view of the file system and becomes the container runtime. /run, /var/lib and /var/log are private and empty,
 * since paths in them are compiled into kubelet, containerd and their shims; `kept` folders stay visible where they lie in one of these.
 */
export function nodeScript(node: NodePlace, kept: readonly string[], containerd: string): string {
  const stage = join(node.folder, 'stage');
  const privateFolders: Readonly<Record<string, readonly string[]>> = {
    '/run': [],
    '/var/lib': ['kubelet', 'cni'],
    '/var/log': ['containers', 'pods'],
  };
  const lines = ['#!/bin/sh', 'set -eu', 'mount --no-mtab --make-rprivate /', `mkdir -p ${shellWord(stage)}`];
  for (const [folder, children] of Object.entries(privateFolders)) {
    lines.push(`mount --no-mtab -t tmpfs -o mode=755 tmpfs ${shellWord(stage)}`);
    for (const child of children) lines.push(`mkdir ${shellWord(join(stage, child))}`);
    for (const path of kept.filter((path) => isWithin(path, folder))) {
      const seen = join(stage, path.slice(folder.length));
      lines.push(`mkdir -p ${shellWord(seen)}`, `mount --no-mtab --bind ${shellWord(path)} ${shellWord(seen)}`);
    }
    lines.push(`mount --no-mtab --move ${shellWord(stage)} ${folder}`);
  }
  const kubelet = shellWord(join(node.folder, 'kubelet'));
  // Volumes that kubelet mounts must reach containers that are running.
  lines.push(`mount --no-mtab --bind ${kubelet} ${kubelet}`, `mount --no-mtab --make-shared ${kubelet}`);
  const config = shellWord(join(node.folder, 'containerd.toml'));
  lines.push(`export PATH=${shellWord(dirname(containerd))}:"$PATH"`, `exec ${shellWord(containerd)} --config ${config}`, '');
  return lines.join('\n');
}
