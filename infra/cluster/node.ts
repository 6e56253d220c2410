import { readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import { runCommand } from '../local/run-command.ts';
import { programFile } from './binaries.ts';
import { makeCgroup, processesInCgroup } from './cgroups.ts';
import { clusterProcesses, daemonNamed, endDaemon, isRunning, killAll, mustRun, signalDaemon, startDaemon } from './daemon.ts';
import { inNetwork } from './network.ts';
import { containerdConfig, kubeletConfig, nodeScript, podNetworkConfig } from './node-config.ts';
import { copyTemplate } from './node-images.ts';
import { innerKubeconfig } from './pki.ts';
import { type ClusterPlace, type NodePlace, controlAddress } from './place.ts';
import { waitFor } from './wait-for.ts';

const runtimeDeadlineMs = 60_000;
/** Label that Kueue's flavours and node selectors of tests go by. */
const labels = 'modelwright/simulated-gpu=true';

export const runtimeName = (node: NodePlace): string => `${node.name}-containerd`;
export const kubeletName = (node: NodePlace): string => `${node.name}-kubelet`;
const gpuName = (node: NodePlace): string => `${node.name}-gpus`;

/** Lays out a node's folder, with the images that it starts with. */
export async function prepareNode(
  place: ClusterPlace,
  paths: Paths,
  node: NodePlace,
  template: string,
  signal: AbortSignal,
): Promise<void> {
  for (const folder of ['cni', 'kubelet', 'pod-logs', 'volume-plugins']) await mkdir(join(node.folder, folder), { recursive: true });
  await writeFile(join(node.folder, 'containerd.toml'), containerdConfig(node, paths));
  await writeFile(join(node.folder, 'cni/pods.conflist'), podNetworkConfig(node));
  await writeFile(join(node.folder, 'kubelet.yaml'), kubeletConfig(place, node));
  await writeFile(join(node.folder, 'resolv.conf'), `nameserver ${controlAddress}\n`);
  const script = nodeScript(node, [place.home, paths.cache], programFile(paths, 'containerd', 'containerd'));
  await writeFile(join(node.folder, 'node.sh'), script);
  await copyTemplate(template, join(node.folder, 'containerd'), signal);
}

/** Starts what is not running of a node: container runtime, kubelet, device plugin. */
export async function startNode(place: ClusterPlace, paths: Paths, node: NodePlace, gpus: number, signal: AbortSignal): Promise<void> {
  makeCgroup(node.cgroup);
  if (!isRunning(daemonNamed(place, runtimeName(node)))) {
    await rm(node.socket, { force: true });
    const inOwnMounts = ['unshare', '--mount', 'sh', join(node.folder, 'node.sh')];
    startDaemon(place, { name: runtimeName(node), ...inNetwork(place, inOwnMounts) });
  }
  await waitForRuntime(place, paths, node, signal);
  const runtime = daemonNamed(place, runtimeName(node));
  const inside = ['nsenter', '-t', String(runtime?.pid), '--mount', '--net', '--'] as const;
  const [command, ...before] = inside;
  if (!isRunning(daemonNamed(place, kubeletName(node)))) {
    startDaemon(place, {
      name: kubeletName(node),
      command,
      args: [
        ...before,
        programFile(paths, 'kubernetes', 'kubelet'),
        `--config=${join(node.folder, 'kubelet.yaml')}`,
        `--kubeconfig=${innerKubeconfig(place, node.name)}`,
        `--hostname-override=${node.name}`,
        `--node-ip=${node.address}`,
        `--root-dir=${join(node.folder, 'kubelet')}`,
        `--node-labels=${labels}`,
      ],
    });
  }
  if (gpus > 0 && !isRunning(daemonNamed(place, gpuName(node)))) {
    const plugin = programFile(paths, 'gpuPlugin', 'gpu-plugin');
    const args = ['-count', String(gpus), '-node', node.name, '-unhealthy', node.brokenGpus];
    startDaemon(place, { name: gpuName(node), command, args: [...before, plugin, ...args] });
  }
}

async function waitForRuntime(place: ClusterPlace, paths: Paths, node: NodePlace, signal: AbortSignal): Promise<void> {
  await waitFor(`the container runtime of ${node.name} was not ready`, runtimeDeadlineMs, signal, async () => {
    mustRun(place, runtimeName(node));
    await runCommand(programFile(paths, 'containerd', 'ctr'), ['--address', node.socket, 'version'], { signal });
    return true;
  });
}

/** As a power cut: kubelet, runtime, shims and every container of the node die at once. */
export async function crashNode(place: ClusterPlace, node: NodePlace): Promise<void> {
  for (const name of [kubeletName(node), gpuName(node), runtimeName(node)]) signalDaemon(place, name, 'SIGKILL');
  for (const name of [kubeletName(node), gpuName(node), runtimeName(node)]) await endDaemon(place, name, 0);
  await killAll(() => [...processesInCgroup(node.cgroup), ...shimsOf(place, node)]);
}

/** Shims are found by the socket of their node's runtime, which stands in their command line. */
const shimsOf = (place: ClusterPlace, node: NodePlace): number[] =>
  clusterProcesses(place).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(node.socket);
    } catch {
      return false;
    }
  });

/** The node lives on and its pods work, but it hears and says nothing: its kubelet stands still. */
export const partitionNode = (place: ClusterPlace, node: NodePlace): void => signalDaemon(place, kubeletName(node), 'SIGSTOP');
export const healNode = (place: ClusterPlace, node: NodePlace): void => signalDaemon(place, kubeletName(node), 'SIGCONT');

/** Reports GPUs of a node as broken, by their numbers from 0; none: all are well again. */
export async function breakGpus(node: NodePlace, numbers: readonly number[]): Promise<void> {
  const temporary = `${node.brokenGpus}.new`;
  await writeFile(temporary, numbers.map((number) => `${number}\n`).join(''));
  await rename(temporary, node.brokenGpus);
}
