import { existsSync, globSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A mounted tree of cgroups: one for each controller in version 1, a single one in version 2. */
export type CgroupHierarchy = { readonly mountPoint: string; readonly version: 1 | 2 };

/** What pods are limited by; in version 2 a child has only what its parent hands down. */
const handedDown = ['cpu', 'cpuset', 'memory', 'pids', 'io'];

/** The trees that the container runtime will use. `mounts` is /proc/mounts. */
export function hierarchiesIn(mounts: string): CgroupHierarchy[] {
  const lines = mounts.split('\n').map((line) => line.split(' '));
  const whole = lines.find(([, mountPoint, type]) => mountPoint === '/sys/fs/cgroup' && type === 'cgroup2');
  if (whole) return [{ mountPoint: '/sys/fs/cgroup', version: 2 }];
  // Beside the trees of version 1 there may be one of version 2, in which nothing is limited but processes lie as well.
  const versions: Readonly<Record<string, 1 | 2>> = { cgroup: 1, cgroup2: 2 };
  return lines.flatMap(([, mountPoint = '', type = '']) => {
    const version = versions[type];
    return version !== undefined && mountPoint.startsWith('/sys/fs/cgroup/') ? [{ mountPoint, version }] : [];
  });
}

export const cgroupHierarchies = (): CgroupHierarchy[] => {
  try {
    return hierarchiesIn(readFileSync('/proc/mounts', 'utf8'));
  } catch {
    return [];
  }
};

/** Makes the cgroup in every tree, ready for children. `path` has no leading slash. */
export function makeCgroup(path: string): void {
  for (const { mountPoint, version } of cgroupHierarchies()) {
    const folder = join(mountPoint, path);
    mkdirSync(folder, { recursive: true });
    const parts = path.split('/');
    // From the root down: a child takes over what its parent has.
    for (let depth = 0; depth <= parts.length; depth += 1) {
      const at = join(mountPoint, ...parts.slice(0, depth));
      if (version === 2) handDown(at);
      else if (depth > 0 && existsSync(join(at, 'cpuset.cpus'))) {
        for (const file of ['cpuset.cpus', 'cpuset.mems']) writeFileSync(join(at, file), readFileSync(join(dirname(at), file)));
      }
    }
  }
}

function handDown(folder: string): void {
  const has = readFileSync(join(folder, 'cgroup.controllers'), 'utf8').trim().split(' ');
  const gives = readFileSync(join(folder, 'cgroup.subtree_control'), 'utf8').trim().split(' ');
  for (const controller of handedDown) {
    if (has.includes(controller) && !gives.includes(controller)) writeFileSync(join(folder, 'cgroup.subtree_control'), `+${controller}`);
  }
}

/** Every process of the cgroup and of those below it. */
export function processesInCgroup(path: string): number[] {
  const pids = new Set<number>();
  for (const { mountPoint } of cgroupHierarchies()) {
    for (const file of globSync(join(mountPoint, path, '**/cgroup.procs'))) {
      try {
        for (const line of readFileSync(file, 'utf8').split('\n')) if (line !== '' && line !== '0') pids.add(Number(line));
      } catch {
        // The cgroup was removed meanwhile.
      }
    }
  }
  return [...pids];
}

/** Removes the cgroup and those below it; false while a process is left in one. */
export function removeCgroup(path: string): boolean {
  let gone = true;
  for (const { mountPoint } of cgroupHierarchies()) gone = removeTree(join(mountPoint, path)) && gone;
  return gone;
}

function removeTree(folder: string): boolean {
  if (!existsSync(folder)) return true;
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) removeTree(join(folder, entry.name));
    rmdirSync(folder);
  } catch {
    return !existsSync(folder);
  }
  return true;
}
