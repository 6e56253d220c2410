import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cgroupHierarchies } from '../../infra/cluster/cgroups.ts';
import type { ClusterPlace } from '../../infra/cluster/place.ts';

/** What this machine still shows of a cluster: processes, mounts (its network namespace is one), cgroups, and the namespaces of processes. */
export function remainsOf(place: ClusterPlace): string[] {
  const remains: string[] = [];
  for (const name of globSync('[0-9]*', { cwd: '/proc' })) {
    if (Number(name) === process.pid) continue;
    try {
      const [command, environment] = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${name}/${file}`, 'utf8'));
      const words = command?.split('\0') ?? [];
      const ours =
        environment?.includes(`MODELWRIGHT_CLUSTER=${place.id}`) === true || words.some((word) => word.includes(`${place.home}/`));
      const group = readFileSync(`/proc/${name}/cgroup`, 'utf8');
      if (ours || group.includes(place.cgroup)) remains.push(`process ${name}: ${words.slice(0, 3).join(' ')}`);
    } catch {
      // It has ended.
    }
  }
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) if (line.includes(place.home)) remains.push(`mount ${line}`);
  for (const { mountPoint } of cgroupHierarchies()) {
    for (const folder of globSync(`**/${place.cgroup}`, { cwd: mountPoint })) remains.push(`cgroup ${join(mountPoint, folder)}`);
  }
  return remains;
}
