import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { buildCacheEntry, isComplete } from './cache-entry.ts';
import type { Paths } from '../../platform/paths.ts';
import type { Provisioner } from './provision-context.ts';
import { runCommand } from './run-command.ts';

/** Debian's suite that carries MySQL 9; it moves, so the unpacked folder is kept under the version of this file. */
const suite = 'sid';
const packageName = 'mysql-server-core';
/** Dependencies of scripts that we do not run. */
const unneeded = /^(perl|libperl|libdb5|libgdbm|debconf)/;
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

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

/** The machine's own Debian source, as its apt configuration names it. */
function debianSource(): string {
  const files = ['/etc/apt/sources.list', ...globSync('/etc/apt/sources.list.d/*.{list,sources}')].filter((file) => existsSync(file));
  for (const file of files) {
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => !line.trimStart().startsWith('#'));
    for (const line of lines) {
      const address = line.split(/\s+/).find((word) => /^https?:\/\/[^ ]+\/debian\/?$/.test(word));
      if (address) return address;
    }
  }
  throw new Error(
    'no Debian package source in /etc/apt: the embedded MySQL comes from Debian. Point MW_MYSQL_HOST at a server of your own instead',
  );
}

export const mysqlProvisioner: Provisioner = {
  name: 'MySQL 9',
  version: '1',
  ready: async ({ paths }) => isComplete(folderOf(paths)),
  provision: async (context) => {
    await buildCacheEntry(context, folderOf(context.paths), async (folder) => {
      const apt = `${folder}.apt`;
      await rm(apt, { recursive: true, force: true });
      for (const path of [
        'state/lists/partial',
        'cache/archives/partial',
        'etc/apt.conf.d',
        'etc/preferences.d',
        'etc/sources.list.d',
        'log',
      ]) {
        await mkdir(join(apt, path), { recursive: true });
      }
      await writeFile(join(apt, 'status'), '');
      await writeFile(join(apt, 'etc/sources.list'), `deb [signed-by=${keyring}] ${debianSource()} ${suite} main\n`);
      await writeFile(
        join(apt, 'apt.conf'),
        [
          `Dir::State "${apt}/state";`,
          `Dir::State::status "${apt}/status";`,
          `Dir::Cache "${apt}/cache";`,
          `Dir::Log "${apt}/log";`,
          `Dir::Etc "${apt}/etc";`,
          'APT::Install-Recommends "false";',
          'APT::Sandbox::User "";',
          'Acquire::Languages "none";',
          // The suite's Release file can be old on a mirror; signatures are still checked.
          'Acquire::Check-Valid-Until "false";',
        ].join('\n'),
      );
      const options = { env: { APT_CONFIG: join(apt, 'apt.conf') }, signal: context.signal };
      context.report('reading package lists', 0.05);
      await runCommand('apt-get', ['-qq', 'update'], options);
      context.report(`downloading ${packageName}`, 0.2);
      await runCommand('apt-get', ['-qq', '-y', 'install', '--download-only', packageName], options);
      const archives = join(apt, 'cache/archives');
      const packages = (await readdir(archives)).filter((name) => name.endsWith('.deb') && !unneeded.test(name));
      for (const [index, name] of packages.entries()) {
        context.report(`unpacking ${name.split('_')[0]}`, 0.6 + (0.4 * index) / packages.length);
        await runCommand('dpkg-deb', ['-x', join(archives, name), folder], { signal: context.signal });
      }
      await rm(apt, { recursive: true, force: true });
    });
  },
};
