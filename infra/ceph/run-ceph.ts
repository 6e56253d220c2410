import type { Paths } from '../../platform/paths.ts';
import { type Daemon, type DaemonPlace, startDaemon } from '../cluster/daemon.ts';
import { marker } from '../cluster/place.ts';
import { runCommand } from '../local/run-command.ts';
import type { CephPlace } from './place.ts';
import { cephProgram } from './programs.ts';

/** Seconds after which a command gives up on a monitor that does not answer. */
const patienceSeconds = 20;

export type CephProgramName = 'ceph' | 'ceph-mon' | 'ceph-osd' | 'ceph-authtool' | 'monmaptool' | 'radosgw-admin' | 'rados';

/** Runs one of Ceph's programs to its end and resolves to what it printed. It carries the mark: `down` ends it too. */
export async function runCeph(
  place: CephPlace,
  paths: Paths,
  name: CephProgramName,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const { command, args: before, env } = cephProgram(paths, name);
  const asking = name === 'ceph' ? ['--connect-timeout', String(patienceSeconds)] : [];
  const withConf = name === 'ceph-authtool' || name === 'monmaptool' ? [] : ['-c', place.conf, ...asking];
  const said = await runCommand(command, [...before, ...withConf, ...args], {
    env: { ...env, ...markOf(place) },
    ...(signal ? { signal } : {}),
  }).catch((error: unknown) => {
    // What runs is the dynamic loader with a long path of libraries: the name and what was asked of it say more.
    const text = error instanceof Error ? error.message.split('\n').slice(1).join('\n') || error.message : String(error);
    throw new Error(`${name} ${args.slice(0, 3).join(' ')} failed:\n${text}`, { cause: error });
  });
  return said;
}

/** Starts one of Ceph's daemons, which outlives this process. */
export function startCephDaemon(place: CephPlace, paths: Paths, daemon: string, name: string, args: readonly string[]): Daemon {
  const { command, args: before, env } = cephProgram(paths, name);
  return startDaemon(place, { name: daemon, command, args: [...before, '-c', place.conf, '-f', ...args], env });
}

function markOf(place: DaemonPlace): Readonly<Record<string, string>> {
  const [variable = '', value = ''] = marker(place).split('=');
  return { [variable]: value };
}
