import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { sleep } from '../../platform/clock.ts';
import { isAlive, startTicksOf } from '../../platform/process-identity.ts';
import { processesInCgroup } from './cgroups.ts';
import { hasNetwork } from './network.ts';
import { type ClusterPlace, marker } from './place.ts';
import { Hopeless } from './wait-for.ts';

export type DaemonSpec = {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
};
export type Daemon = { readonly name: string; readonly pid: number; readonly startTicks: string };
/** Where processes are written down, and what marks them. */
export type DaemonPlace = Pick<ClusterPlace, 'home' | 'id' | 'logs' | 'processes'>;

const pollMs = 20;
const killDeadlineMs = 20_000;
const logTailLines = 8;

/** Starts a process that outlives this one, and writes down who it is. */
export function startDaemon(place: DaemonPlace, { name, command, args, env }: DaemonSpec): Daemon {
  mkdirSync(place.logs, { recursive: true });
  mkdirSync(place.processes, { recursive: true });
  const log = openSync(join(place.logs, `${name}.log`), 'a');
  const [variable = '', value = ''] = marker(place).split('=');
  // Little of our own environment: it may hold secrets, and proxies that the cluster must not use.
  const inherited = { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', HOME: place.home };
  const child = spawn(command, [...args], {
    cwd: place.home,
    env: { ...inherited, ...env, [variable]: value },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  // Without a program there is no pid: its probe tells, by the log.
  child.on('error', (error) =>
    writeFileSync(join(place.logs, `${name}.log`), `${command} could not be run: ${error.message}\n`, { flag: 'a' }),
  );
  child.unref();
  const daemon = { name, pid: child.pid ?? 0, startTicks: startTicksOf(child.pid ?? 0) };
  const file = join(place.processes, `${name}.json`);
  writeFileSync(`${file}.new`, JSON.stringify(daemon));
  renameSync(`${file}.new`, file);
  return daemon;
}

export function daemonNamed(place: DaemonPlace, name: string): Daemon | null {
  try {
    return JSON.parse(readFileSync(join(place.processes, `${name}.json`), 'utf8')) as Daemon;
  } catch {
    return null;
  }
}

export function daemons(place: DaemonPlace): Daemon[] {
  let files: string[] = [];
  try {
    files = readdirSync(place.processes).filter((file) => file.endsWith('.json'));
  } catch {
    // Nothing has been started.
  }
  return files.flatMap((file) => daemonNamed(place, file.replace(/\.json$/, '')) ?? []);
}

export const isRunning = (daemon: Daemon | null): daemon is Daemon => daemon !== null && isAlive(daemon.pid, daemon.startTicks);

/** Whether something was started there, and all of it runs. */
export const allRun = (place: DaemonPlace): boolean => daemons(place).length > 0 && daemons(place).every(isRunning);

/** Every process that was started there, by name, as people are shown it. */
export const daemonStates = (place: DaemonPlace) =>
  daemons(place)
    .map((daemon) => ({ name: daemon.name, pid: daemon.pid, state: isRunning(daemon) ? 'running' : 'ended' }))
    .sort((a, b) => a.name.localeCompare(b.name));

/** Sends a signal to the very process that was started; nothing happens when it has ended. */
export function signalDaemon(place: DaemonPlace, name: string, signal: NodeJS.Signals): void {
  const daemon = daemonNamed(place, name);
  if (isRunning(daemon)) kill(daemon.pid, signal);
}

/** Ends one process, with SIGKILL when it does not end in time, and forgets it. */
export async function endDaemon(place: DaemonPlace, name: string, deadlineMs: number): Promise<void> {
  const daemon = daemonNamed(place, name);
  if (isRunning(daemon)) {
    if (deadlineMs > 0) kill(daemon.pid, 'SIGTERM');
    for (let waited = 0; isRunning(daemon) && waited < deadlineMs; waited += pollMs) await sleep(pollMs);
    await killAll(() => (isRunning(daemon) ? [daemon.pid] : []));
  }
  rmSync(join(place.processes, `${name}.json`), { force: true });
}

/** Every process that was started here, written down or not: what a start that was cut off left behind carries the mark. */
export const processesOf = (place: DaemonPlace): number[] => processesWhere(place, () => false);

/**
 * Every process of the cluster, written down or not: those that carry its mark (of which containerd's shims inherit it), those in its network
 * namespace and those in its cgroups, which are the containers.
 */
export function clusterProcesses(place: ClusterPlace): number[] {
  const network = networkOf(place);
  const inNetwork = (pid: string): boolean => network !== null && readlinkSync(`/proc/${pid}/ns/net`) === network;
  const inCgroups = processesInCgroup(place.cgroup).filter((pid) => pid !== process.pid && startTicksOf(pid) !== '');
  return [...new Set([...inCgroups, ...processesWhere(place, inNetwork)])];
}

function processesWhere(place: DaemonPlace, alsoIf: (pid: string) => boolean): number[] {
  const pids = new Set<number>();
  for (const daemon of daemons(place)) if (isRunning(daemon)) pids.add(daemon.pid);
  const mark = marker(place);
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(mark) || alsoIf(name)) pids.add(Number(name));
    } catch {
      // It has ended, or is a thread of the kernel.
    }
  }
  pids.delete(process.pid);
  return [...pids].filter((pid) => startTicksOf(pid) !== '');
}

/** As /proc/PID/ns/net names it; null while nothing is bound to the file. */
const networkOf = (place: ClusterPlace): string | null => (hasNetwork(place) ? `net:[${statSync(place.network).ino}]` : null);

/** Kills until none is left. */
export async function killAll(pids: () => readonly number[]): Promise<void> {
  for (let waited = 0; ; waited += pollMs) {
    const left = pids();
    if (left.length === 0) return;
    if (waited > killDeadlineMs) throw new Error(`processes ${left.join(', ')} do not end although they were killed`);
    for (const pid of left) kill(pid, 'SIGKILL');
    await sleep(pollMs);
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

/** Throws, with the last lines of its log, when a process that is waited for has ended. */
export function mustRun(place: DaemonPlace, name: string): void {
  if (!isRunning(daemonNamed(place, name))) throw new Hopeless(`${name} has ended:\n  ${logTail(place, name)}`);
}

function logTail(place: DaemonPlace, name: string): string {
  try {
    return readFileSync(join(place.logs, `${name}.log`), 'utf8')
      .trimEnd()
      .split('\n')
      .slice(-logTailLines)
      .join('\n  ');
  } catch {
    return '(no log)';
  }
}
