import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProvisionContext } from './provision-context.ts';
import { runCommand } from './run-command.ts';

export type DebianPackages = {
  /** Debian's suite, such as `bookworm`: it need not be this machine's. */
  readonly suite: string;
  readonly packages: readonly string[];
  /** Also unpacks what they depend on, whatever this machine has. */
  readonly dependencies: boolean;
  /** Dependencies that are left out. */
  readonly unneeded?: RegExp;
};

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** The machine's own Debian source, as its apt configuration names it; null where it has none. */
function debianSource(): string | null {
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
  return null;
}

export const hasDebianSource = (): boolean => debianSource() !== null;

/** Unpacks packages of Debian into a folder, by a private apt state: nothing of the machine changes, and no package's script is run. */
export async function unpackDebianPackages(context: ProvisionContext, folder: string, wanted: DebianPackages): Promise<void> {
  const { suite, packages, dependencies, unneeded } = wanted;
  const source = debianSource();
  if (source === null) {
    throw new Error(
      'no Debian package source in /etc/apt: the embedded MySQL, the development cluster and Ceph come from Debian. Point MW_MYSQL_HOST at a MySQL ' +
        'server of your own instead, MW_KUBECONFIG at a cluster of your own, MW_S3_ENDPOINT at a gateway of your own',
    );
  }
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
  await writeFile(join(apt, 'etc/sources.list'), `deb [signed-by=${keyring}] ${source} ${suite} main\n`);
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
  context.report(`downloading ${packages.join(', ')}`, 0.2);
  const archives = join(apt, 'cache/archives');
  if (dependencies) await runCommand('apt-get', ['-qq', '-y', 'install', '--download-only', ...packages], options);
  else await runCommand('apt-get', ['-qq', 'download', ...packages], { ...options, cwd: archives });
  const files = (await readdir(archives)).filter((name) => name.endsWith('.deb') && unneeded?.test(name) !== true);
  for (const [index, name] of files.entries()) {
    context.report(`unpacking ${name.split('_')[0]}`, 0.6 + (0.4 * index) / files.length);
    await runCommand('dpkg-deb', ['-x', join(archives, name), folder], { signal: context.signal });
  }
  await rm(apt, { recursive: true, force: true });
}
