import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { nowMs, sleep } from '../../platform/clock.ts';
import { processesInCgroup, removeCgroup } from './cgroups.ts';
import { clusterProcesses, killAll } from './daemon.ts';
import { unmountAll } from './network.ts';
import type { ClusterPlace } from './place.ts';

const cgroupDeadlineMs = 10_000;
const pollMs = 50;

/**
 * Ends everything of a cluster, whoever started it and however far that came: processes, mounts, network namespace, cgroups, and its folder unless it
 * is to be kept. False when there was nothing.
 */
export async function stopCluster(place: ClusterPlace, { keepState = false } = {}): Promise<boolean> {
  const found = existsSync(place.home) || processesInCgroup(place.cgroup).length > 0;
  // Mounts of nodes lie in namespaces of their own, which end with their last process.
  await killAll(() => clusterProcesses(place));
  await unmountAll(place);
  for (const endMs = nowMs() + cgroupDeadlineMs; !removeCgroup(place.cgroup);) {
    if (nowMs() > endMs) throw new Error(`the cgroup ${place.cgroup} cannot be removed: something is still in it`);
    await sleep(pollMs);
  }
  const left = keepState ? [place.network, place.stateFile, place.processes, place.kubeconfig] : [place.home];
  for (const path of left) await rm(path, { recursive: true, force: true, maxRetries: 3 });
  return found;
}
