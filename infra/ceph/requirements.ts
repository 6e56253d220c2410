import { hasDebianSource } from '../local/debian-packages.ts';
import { isInPath } from '../local/machine-problems.ts';

const otherwise = 'Any other Ceph serves as well: set MW_S3_ENDPOINT, MW_S3_ACCESS_KEY and MW_S3_SECRET_KEY to its gateway';
const programs: Readonly<Record<string, string>> = { 'apt-get': 'apt', 'dpkg-deb': 'dpkg' };

/** Everything that this machine lacks; empty where Ceph can run. Root is not needed: nothing is mounted, and all ports are high. */
export function cephProblems(): string[] {
  if (process.platform !== 'linux') return [`Ceph runs on Linux only, this is ${process.platform}. ${otherwise}`];
  const problems: string[] = [];
  for (const [program, debianPackage] of Object.entries(programs)) {
    if (!isInPath(program))
      problems.push(`${program} is not installed (Debian: apt install ${debianPackage}): Ceph comes from Debian's packages`);
  }
  if (problems.length === 0 && !hasDebianSource()) problems.push('no Debian package source in /etc/apt: Ceph comes from Debian');
  return problems.length === 0 ? [] : [...problems, otherwise];
}

/** Null where Ceph can run; otherwise why not, for tests that are left out there. */
export function canRunCeph(): string | null {
  const problems = cephProblems();
  return problems.length === 0 ? null : problems.join('; ');
}
