import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { runCommand } from '../local/run-command.ts';
import { type ClusterPlace, controlAddress, prefixLength } from './place.ts';

/** The word `path` as /proc/mounts writes it. */
const asInMounts = (path: string): string =>
  path.replaceAll(/[\\ \t\n]/g, (found) => `\\${found.charCodeAt(0).toString(8).padStart(3, '0')}`);

/** Mount points in or at a folder, the innermost first. `mounts` is /proc/mounts. */
export function mountPointsUnder(mounts: string, folder: string): string[] {
  const prefix = asInMounts(folder);
  const points = mounts.split('\n').map((line) => line.split(' ')[1] ?? '');
  return points
    .filter((point) => point === prefix || point.startsWith(`${prefix}/`))
    .reverse()
    .map((point) => point.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))));
}

export const hasNetwork = (place: ClusterPlace): boolean =>
  existsSync(place.network) && mountPointsUnder(readFileSync('/proc/self/mounts', 'utf8'), place.network).length > 0;

/** Puts a command into the cluster's network namespace. The process keeps its pid. */
export const inNetwork = (place: ClusterPlace, command: readonly string[]): { command: string; args: string[] } => ({
  command: 'nsenter',
  args: [`--net=${place.network}`, '--', ...command],
});

/** A network namespace with one bridge that bears the addresses of the control plane and of all nodes. Nothing leads out of it. */
export async function makeNetwork(place: ClusterPlace, nodes: number, signal: AbortSignal): Promise<void> {
  await writeFile(place.network, '');
  await runCommand('unshare', [`--net=${place.network}`, 'true'], { signal });
  const addresses = [controlAddress, ...Array.from({ length: nodes }, (_, index) => place.node(index + 1).address)];
  const script = [
    'ip link set lo up',
    'ip link add nodes type bridge',
    ...addresses.map((address) => `ip addr add ${address}/${prefixLength} dev nodes`),
    'ip link set nodes up',
    // Without a default route the API server finds no address of its own.
    `ip route add default via ${controlAddress} dev nodes`,
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
  ].join('\n');
  const { command, args } = inNetwork(place, ['sh', '-euc', script]);
  await runCommand(command, args, { signal });
}

/** Unmounts what is mounted in the cluster's folder, its network namespace included. */
export async function unmountAll(place: ClusterPlace): Promise<void> {
  for (const point of mountPointsUnder(readFileSync('/proc/self/mounts', 'utf8'), place.home))
    await runCommand('umount', ['--lazy', point]);
}
