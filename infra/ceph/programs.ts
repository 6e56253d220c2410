import { globSync } from 'node:fs';
import { join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import { buildCacheEntry, isComplete } from '../local/cache-entry.ts';
import { unpackDebianPackages } from '../local/debian-packages.ts';
import type { Provisioner } from '../local/provision-context.ts';

/** Debian's stable suite with Ceph 16.2: the oldest gateway that is still met, so what works here works on newer ones. */
const suite = 'bookworm';
/** Counts up with what is unpacked: the folder is kept under it. */
const version = '16-1';
/** The manager daemon is not among them: S3 needs none, and it takes the most memory. */
const packages = ['ceph-mon', 'ceph-osd', 'radosgw', 'ceph-common'];
/** Dependencies of units, disk set-up and scripts that are not run. */
const unneeded =
  /^(systemd|dbus|sudo|lvm2|liblvm|libparted|parted|dm|xfsprogs|smartmontools|nvme|cryptsetup|gdisk|hdparm|logrotate|perl|libperl|libdb5|libgdbm|adduser|passwd|coreutils|tar|dpkg|tzdata|kmod|udev|libfdisk|dmidecode|uuid-runtime|psmisc|libcephfs|librbd|python3-cephfs|python3-rbd)/;

const folderOf = (paths: Paths): string => join(paths.cache, `ceph-${version}`);

export type CephProgram = { readonly command: string; readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> };

/** Folders of plugins, which Ceph looks for in absolute places of the machine unless its configuration names them. */
export type CephPlugins = {
  readonly plugins: string;
  readonly erasureCodes: string;
  readonly classes: string;
  readonly compressors: string;
};

/**
 * How one of Ceph's programs is run from the cache: by the prefix's own dynamic loader, so that nothing of the system's libraries matters and nothing
 * is installed. `ceph` is a Python program, which the prefix's own Python runs.
 */
export function cephProgram(paths: Paths, name: string): CephProgram {
  const prefix = folderOf(paths);
  const loader =
    globSync('usr/lib/*-linux-gnu/ld-linux-*.so.*', { cwd: prefix })[0] ?? globSync('lib*/*-linux-gnu/ld-linux-*.so.*', { cwd: prefix })[0];
  if (loader === undefined) throw new Error(`${prefix} holds no dynamic loader: delete the folder and run \`./mw ceph up\` again`);
  const libraries = globSync('{usr/,}lib/*-linux-gnu', { cwd: prefix }).map((path) => join(prefix, path));
  const withCommon = [...libraries, ...libraries.map((folder) => join(folder, 'ceph'))].join(':');
  const run = (file: string, rest: readonly string[] = []): CephProgram => ({
    command: join(prefix, loader),
    args: ['--library-path', withCommon, '--argv0', name, join(prefix, file), ...rest],
    env: {},
  });
  if (name !== 'ceph') return run(`usr/bin/${name}`);
  const python = globSync('usr/bin/python3.*[0-9]', { cwd: prefix })[0] ?? 'usr/bin/python3';
  return {
    ...run(python, [join(prefix, 'usr/bin/ceph')]),
    env: { PYTHONHOME: join(prefix, 'usr'), PYTHONPATH: join(prefix, 'usr/lib/python3/dist-packages'), PYTHONDONTWRITEBYTECODE: '1' },
  };
}

export function cephPlugins(paths: Paths): CephPlugins {
  const prefix = folderOf(paths);
  const found = (pattern: string): string => {
    const path = globSync(pattern, { cwd: prefix })[0];
    if (path === undefined) throw new Error(`${prefix} holds no ${pattern}: delete the folder and run \`./mw ceph up\` again`);
    return join(prefix, path);
  };
  return {
    plugins: found('usr/lib/*-linux-gnu/ceph'),
    erasureCodes: found('usr/lib/*-linux-gnu/ceph/erasure-code'),
    classes: found('usr/lib/{*-linux-gnu/,}rados-classes'),
    compressors: found('usr/lib/*-linux-gnu/ceph/compressor'),
  };
}

export const cephProvisioner: Provisioner = {
  name: 'Ceph 16',
  version,
  ready: async ({ paths }) => isComplete(folderOf(paths)),
  provision: async (context) => {
    await buildCacheEntry(context, folderOf(context.paths), async (folder) => {
      await unpackDebianPackages(context, folder, { suite, packages, dependencies: true, unneeded });
    });
  },
};
