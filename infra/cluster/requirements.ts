import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { isInPath } from '../local/machine-problems.ts';
import { cgroupHierarchies } from './cgroups.ts';

/** Programs that are called, and the Debian packages that bring them. */
const programs: Readonly<Record<string, string>> = {
  go: 'golang',
  gcc: 'gcc',
  ip: 'iproute2',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  mount: 'mount',
  openssl: 'openssl',
  ldd: 'libc-bin',
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
};
const minimumGo = [1, 26] as const;

const otherwise = 'Any other cluster serves as well: set MW_KUBECONFIG to its kubeconfig';

/** Everything that this machine lacks; empty where the cluster can run. */
export function clusterProblems(): string[] {
  if (process.platform !== 'linux') return [`the development cluster runs on Linux only, this is ${process.platform}. ${otherwise}`];
  if (process.getuid?.() !== 0) {
    return [`the development cluster starts containers, mounts and network namespaces itself and must be run as root. ${otherwise}`];
  }
  const problems: string[] = [];
  for (const [program, debianPackage] of Object.entries(programs)) {
    if (!isInPath(program)) problems.push(`${program} is not installed (Debian: apt install ${debianPackage})`);
  }
  const hierarchies = cgroupHierarchies();
  if (hierarchies.length === 0) problems.push('no cgroups are mounted under /sys/fs/cgroup: containers cannot be limited');
  for (const { mountPoint } of hierarchies) {
    if (!isWritable(mountPoint)) problems.push(`cgroups cannot be made in ${mountPoint}: it is read-only here. Run outside of a container`);
  }
  if (isInPath('unshare') && spawnSync('unshare', ['--mount', '--net', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status !== 0) {
    problems.push(
      'namespaces and mounts cannot be made here (CAP_SYS_ADMIN is missing). Run outside of a container, or in a privileged one',
    );
  }
  const go = isInPath('go') ? spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' }).stdout.trim() : '';
  if (go !== '' && !isNewEnough(go)) problems.push(`go is ${go}, ${minimumGo.join('.')} or newer is needed`);
  return problems.length === 0 ? [] : [...problems, otherwise];
}

/** Null where the development cluster can run; otherwise why not, for tests that are left out there. */
export function canRunCluster(): string | null {
  const problems = clusterProblems();
  return problems.length === 0 ? null : problems.join('; ');
}

export function isNewEnough(goVersion: string): boolean {
  const [major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(goVersion) ?? []).slice(1).map(Number);
  return major > minimumGo[0] || (major === minimumGo[0] && minor >= minimumGo[1]);
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
