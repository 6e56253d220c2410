import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '../../platform/config.ts';
import type { Paths } from '../../platform/paths.ts';
import { allRun, endDaemon } from '../cluster/daemon.ts';
import { holdingLock } from '../local/cache-entry.ts';
import { freePorts } from '../local/ports.ts';
import type { ProvisionContext } from '../local/provision-context.ts';
import { makeCeph, osdName, startMissing, startOsd, waitForOsds } from './bring-up.ts';
import { readGatewayUser } from './gateway-user.ts';
import { type CephPlace, cephPlace } from './place.ts';
import { cephProvisioner } from './programs.ts';
import { MachineProblems } from '../local/machine-problems.ts';
import { cephProblems } from './requirements.ts';
import { runCeph } from './run-ceph.ts';
import { type CephShape, type CephState, readCephState, writeCephState } from './state.ts';
import { stopCeph } from './stop.ts';

export type CephOptions = {
  /** Folder of all state; the Ceph is known by it. */
  readonly home: string;
  readonly paths: Paths;
  /** Default 1. */
  readonly osds?: CephShape['osds'];
  /** Size of each OSD's sparse file; default 16 GiB. */
  readonly osdBytes?: number;
  readonly report?: (line: string) => void;
  readonly signal?: AbortSignal;
};

export type Ceph = {
  /** Its gateway, with the keys of the user that owns the bucket. */
  readonly s3: Config['s3'];
  readonly shape: CephShape;
  /** Runs `ceph` with these arguments and resolves to what it printed. */
  readonly command: (...args: readonly string[]) => Promise<string>;
  /** Runs `radosgw-admin`. */
  readonly gatewayAdmin: (...args: readonly string[]) => Promise<string>;
  /** As a power cut of the OSD with this number, from 0; resolves when it has ended, before the others have noticed. */
  readonly killOsd: (id: number) => Promise<void>;
  /** Starts a killed OSD again and waits until all are up. */
  readonly startOsd: (id: number) => Promise<void>;
  /** Ends it and deletes all that it stored. */
  readonly stop: () => Promise<void>;
};

const defaultOsdBytes = 16 * 1024 ** 3;

/**
 * Brings up a monitor, OSDs and an S3 gateway on loopback, or returns those that run there already, what has ended of them started again. When it
 * fails or is aborted before all of it has run once, nothing is left.
 */
export async function startCeph(options: CephOptions): Promise<Ceph> {
  const { paths, report = () => undefined, signal = new AbortController().signal } = options;
  const place = cephPlace(options.home);
  const shape: CephShape = { osds: options.osds ?? 1, osdBytes: options.osdBytes ?? defaultOsdBytes };
  const problems = cephProblems();
  if (problems.length > 0) throw new MachineProblems(problems);
  const context: ProvisionContext = { paths, signal, report };
  await mkdir(dirname(place.home), { recursive: true });
  return await holdingLock(place.lock, context, async () => {
    await cephProvisioner.provision(context);
    const state = readCephState(place);
    if (state?.phase === 'running') {
      if (state.shape.osds !== shape.osds || state.shape.osdBytes !== shape.osdBytes) throw new MachineProblems([otherShape(state.shape)]);
      if (!allRun(place)) {
        report('not all of it ran: the rest is started');
        await startMissing(place, context, state);
      }
      return await cephAt(place, paths, state);
    }
    if (await stopCeph(place)) report('the rest of a start that was cut off was here: it has been removed');
    try {
      const [monPort = 0, gatewayPort = 0] = await freePorts(2);
      const starting: CephState = { phase: 'starting', shape, monPort, gatewayPort };
      await mkdir(place.home, { recursive: true, mode: 0o700 });
      await writeCephState(place, starting);
      await makeCeph(place, context, starting);
      await writeCephState(place, { ...starting, phase: 'running' });
      return await cephAt(place, paths, starting);
    } catch (error) {
      await stopCeph(place);
      throw error;
    }
  });
}

/** The Ceph that runs in this folder; null when none does, or not all of it. */
export async function runningCeph(home: string, paths: Paths): Promise<Ceph | null> {
  const place = cephPlace(home);
  const state = readCephState(place);
  return state?.phase === 'running' && allRun(place) ? await cephAt(place, paths, state) : null;
}

const otherShape = ({ osds, osdBytes }: CephShape): string =>
  `a Ceph with ${osds} OSD${osds === 1 ? '' : 's'} of ${osdBytes / 1024 ** 3} GiB is here, with what it stores: use it as it is, or delete it by \`./mw ceph down\` first`;

async function cephAt(place: CephPlace, paths: Paths, { shape }: CephState): Promise<Ceph> {
  const signal = new AbortController().signal;
  return {
    s3: await readGatewayUser(place),
    shape,
    command: (...args) => runCeph(place, paths, 'ceph', args),
    gatewayAdmin: (...args) => runCeph(place, paths, 'radosgw-admin', args),
    killOsd: async (id) => {
      mustBeOsd(shape, id);
      await endDaemon(place, osdName(id), 0);
    },
    startOsd: async (id) => {
      mustBeOsd(shape, id);
      startOsd(place, paths, id);
      await waitForOsds(place, { paths, signal }, shape.osds);
    },
    stop: async () => void (await stopCeph(place)),
  };
}

function mustBeOsd({ osds }: CephShape, id: number): void {
  if (!Number.isInteger(id) || id < 0 || id >= osds) throw new Error(`there are the OSDs 0 to ${osds - 1}, not ${id}`);
}
