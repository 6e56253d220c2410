import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { randomBytes, randomUUID } from '../../platform/clock.ts';
import type { Paths } from '../../platform/paths.ts';
import { daemonNamed, isRunning, mustRun } from '../cluster/daemon.ts';
import { waitFor } from '../cluster/wait-for.ts';
import { ensureBucket } from '../s3/bucket.ts';
import { cephConf, dataPool, gatewayName } from './conf.ts';
import type { CephPlace } from './place.ts';
import { cephPlugins } from './programs.ts';
import { type CephProgramName, runCeph, startCephDaemon } from './run-ceph.ts';
import { gatewayUser, readGatewayUser, writeGatewayUser } from './gateway-user.ts';
import type { CephState } from './state.ts';

const deadlineMs = 120_000;
const gatewayAnswerMs = 5_000;
const monName = 'mon';
const gatewayDaemon = 'radosgw';
export const osdName = (id: number): string => `osd-${id}`;

export type Step = { readonly paths: Paths; readonly report: (line: string) => void; readonly signal: AbortSignal };

const osdIds = ({ shape }: CephState): number[] => Array.from({ length: shape.osds }, (_, id) => id);

/** Makes configuration, keys, monitor, OSDs, pools and the gateway's user, and starts everything. */
export async function makeCeph(place: CephPlace, step: Step, state: CephState): Promise<void> {
  const { paths, report, signal } = step;
  const run = (name: CephProgramName, args: readonly string[]): Promise<string> => runCeph(place, paths, name, args, signal);
  const fsid = randomUUID();
  await writeFile(place.conf, cephConf(place, state, fsid, cephPlugins(paths)));
  report('monitor');
  await writeKeys(place, run, osdIds(state));
  await run('monmaptool', ['--create', '--fsid', fsid, '--addv', 'a', `[v2:127.0.0.1:${state.monPort}]`, place.monMap]);
  await run('ceph-mon', ['--mkfs', '-i', 'a', '--monmap', place.monMap, '--keyring', place.keyring]);
  await startMonitor(place, step);
  report(state.shape.osds === 1 ? 'OSD' : `${state.shape.osds} OSDs`);
  for (const id of osdIds(state)) {
    const uuid = randomUUID();
    await mkdir(place.osd(id), { recursive: true });
    await run('ceph', ['osd', 'new', uuid, String(id)]);
    await run('ceph-osd', ['-i', String(id), '--mkfs', '--osd-uuid', uuid]);
  }
  await startOsds(place, step, state);
  if (state.shape.osds === 3) await makeErasureCodedPool(run);
  report('gateway');
  const keys = { accessKey: `mw${randomBytes(8).toString('hex')}`, secretKey: randomBytes(30).toString('base64url') };
  const { id } = gatewayUser;
  await run('radosgw-admin', [
    'user',
    'create',
    '--uid',
    id,
    '--display-name',
    id,
    '--access-key',
    keys.accessKey,
    '--secret',
    keys.secretKey,
  ]);
  await startGateway(place, step, state);
  await writeGatewayUser(place, state.gatewayPort, keys);
  await ensureBucket({ s3: await readGatewayUser(place) });
}

/** Starts what of a made Ceph does not run, and waits until all of it does. */
export async function startMissing(place: CephPlace, step: Step, state: CephState): Promise<void> {
  await startMonitor(place, step);
  await startOsds(place, step, state);
  await startGateway(place, step, state);
}

type Run = (name: 'ceph' | 'ceph-authtool', args: readonly string[]) => Promise<string>;

async function writeKeys(place: CephPlace, run: Run, osds: readonly number[]): Promise<void> {
  const key = (entity: string, ...caps: readonly string[]): Promise<string> =>
    run('ceph-authtool', [place.keyring, '--gen-key', '-n', entity, ...caps.flatMap((cap) => ['--cap', ...cap.split(': ')])]);
  await writeFile(place.keyring, '', { mode: 0o600 });
  await key('mon.', 'mon: allow *');
  await key('client.admin', 'mon: allow *', 'osd: allow *', 'mgr: allow *');
  for (const id of osds) await key(`osd.${id}`, 'mon: allow profile osd', 'mgr: allow profile osd', 'osd: allow *');
  await key(gatewayName, 'mon: allow rwx', 'osd: allow rwx');
  await chmod(place.keyring, 0o600);
}

async function makeErasureCodedPool(run: Run): Promise<void> {
  await run('ceph', ['osd', 'erasure-code-profile', 'set', 'models', 'k=2', 'm=1', 'crush-failure-domain=osd']);
  await run('ceph', ['osd', 'pool', 'create', dataPool, '16', '16', 'erasure', 'models']);
  // Two of three are enough to go on, though the next loss would stop it: it is for tests of just this.
  await run('ceph', ['osd', 'pool', 'set', dataPool, 'min_size', '2']);
  await run('ceph', ['osd', 'pool', 'application', 'enable', dataPool, 'rgw']);
}

async function startMonitor(place: CephPlace, { paths, signal }: Step): Promise<void> {
  if (!isRunning(daemonNamed(place, monName))) startCephDaemon(place, paths, monName, 'ceph-mon', ['-i', 'a']);
  await waitFor('the monitor did not answer', deadlineMs, signal, async () => {
    mustRun(place, monName);
    await runCeph(place, paths, 'ceph', ['mon', 'stat'], signal);
    return true;
  });
}

async function startOsds(place: CephPlace, step: Step, state: CephState): Promise<void> {
  for (const id of osdIds(state)) startOsd(place, step.paths, id);
  await waitForOsds(place, step, state.shape.osds);
}

export function startOsd(place: CephPlace, paths: Paths, id: number): void {
  if (!isRunning(daemonNamed(place, osdName(id)))) startCephDaemon(place, paths, osdName(id), 'ceph-osd', ['-i', String(id)]);
}

/** Waits until the monitor counts so many OSDs as up. */
export async function waitForOsds(place: CephPlace, { paths, signal }: Omit<Step, 'report'>, count: number): Promise<void> {
  await waitFor(`${count} OSDs were not up`, deadlineMs, signal, async () => {
    const { num_up_osds: up } = JSON.parse(await runCeph(place, paths, 'ceph', ['osd', 'stat', '--format', 'json'], signal)) as {
      num_up_osds: number;
    };
    return up === count ? true : `${up} are`;
  });
}

async function startGateway(place: CephPlace, { paths, signal }: Step, { gatewayPort }: CephState): Promise<void> {
  if (!isRunning(daemonNamed(place, gatewayDaemon))) startCephDaemon(place, paths, gatewayDaemon, 'radosgw', ['-n', gatewayName]);
  await waitFor('the gateway did not answer', deadlineMs, signal, async () => {
    mustRun(place, gatewayDaemon);
    const { status } = await fetch(`http://127.0.0.1:${gatewayPort}/`, { signal: AbortSignal.timeout(gatewayAnswerMs) });
    return status === 200 ? true : `status ${status}`;
  });
}
