import { globSync } from 'node:fs';
import { join } from 'node:path';
import { buildCacheEntry, isComplete } from './cache-entry.ts';
import type { Paths } from '../../platform/paths.ts';
import { unpackDebianPackages } from './debian-packages.ts';
import type { Provisioner } from './provision-context.ts';

/** Debian's suite that carries MySQL 9; it moves, so the unpacked folder is kept under the version of this file. */
const suite = 'sid';
const packageName = 'mysql-server-core';
/** Dependencies of scripts that we do not run. */
const unneeded = /^(perl|libperl|libdb5|libgdbm|debconf)/;

const folderOf = (paths: Paths): string => join(paths.cache, 'mysql-9-1');

/** Command line of the server: the prefix's own dynamic loader runs it, so nothing of the system's libraries matters. */
export function mysqldCommand(paths: Paths): { readonly command: string; readonly args: string[]; readonly prefix: string } {
  const prefix = folderOf(paths);
  const loader =
    globSync('usr/lib/*-linux-gnu/ld-linux-*.so.*', { cwd: prefix })[0] ?? globSync('lib*/ld-linux-*.so.*', { cwd: prefix })[0];
  if (loader === undefined) throw new Error(`${prefix} holds no dynamic loader: delete the folder and run \`./mw up\` again`);
  const libraries = globSync('usr/lib/*-linux-gnu', { cwd: prefix }).map((path) => join(prefix, path));
  return {
    command: join(prefix, loader),
    args: ['--library-path', libraries.join(':'), '--argv0', 'mysqld', join(prefix, 'usr/sbin/mysqld')],
    prefix,
  };
}

export const mysqlProvisioner: Provisioner = {
  name: 'MySQL 9',
  version: '1',
  ready: async ({ paths }) => isComplete(folderOf(paths)),
  provision: async (context) => {
    await buildCacheEntry(context, folderOf(context.paths), async (folder) => {
      await unpackDebianPackages(context, folder, { suite, packages: [packageName], dependencies: true, unneeded });
    });
  },
};
