import { readFileSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { buildCacheEntry } from '../../infra/local/cache-entry.ts';
import { runCommand } from '../../infra/local/run-command.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Paths } from '../../platform/paths.ts';

/**
 * A Python with the packages of a requirements file and, through a path file, the very packages of the trainer's environment, which are not fetched
 * again. Made once and kept in the cache by what is in it; `name` begins its folder's name.
 */
export async function peerPython(paths: Paths, name: string, requirements: string, pipOptions: readonly string[] = []): Promise<string> {
  const digest = sha256Hex(`${readFileSync(requirements, 'utf8')}${paths.trainerEnv}`).slice(0, 12);
  const folder = join(paths.cache, `${name}-${digest}`);
  const context = { paths, report: (line: string) => console.error(line), signal: new AbortController().signal };
  await buildCacheEntry(context, folder, async (target) => {
    context.report('making the environment of the peers');
    await runCommand(paths.trainerPython, ['-m', 'venv', '--without-pip', target]);
    const packagesOf = (environment: string): string => {
      const [python = 'python3'] = readdirSync(join(environment, 'lib')).filter((found) => found.startsWith('python3'));
      return join(environment, 'lib', python, 'site-packages');
    };
    await writeFile(join(packagesOf(target), 'trainer.pth'), `${resolve(packagesOf(paths.trainerEnv))}\n`);
    const pip = ['-m', 'pip', '--python', join(target, 'bin/python'), 'install', '--disable-pip-version-check', '-q', ...pipOptions];
    await runCommand(paths.trainerPython, [...pip, '-r', requirements]);
  });
  return join(folder, 'bin/python');
}
