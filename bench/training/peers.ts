import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { buildCacheEntry } from '../../infra/local/cache-entry.ts';
import { runCommand } from '../../infra/local/run-command.ts';
import type { Paths } from '../../platform/paths.ts';

const here = import.meta.dirname;
const requirements = join(here, 'peers.txt');

/** What a whole process took, its start included. */
export type Usage = { readonly wallS: number; readonly cpuS: number; readonly peakMiB: number };
export type PeerResult = Usage & { readonly accuracy: number; readonly loopWallS?: number; readonly loopCpuS?: number };
export type PeerTask = {
  readonly way: 'trainer' | 'trainer-grouped' | 'tfidf';
  readonly train: readonly unknown[];
  readonly test: readonly unknown[];
  readonly encoder: string;
  readonly epochs: number;
  readonly rate: number;
  readonly batch: number;
  readonly seed: number;
  readonly threads: number;
  readonly analyzer?: 'word' | 'char';
};

/** `measured.py` before a command line of Python: writes what it took to the file. */
export const measuring = (file: string): readonly string[] => [join(here, 'measured.py'), file];
export const usageOf = async (file: string): Promise<Usage> => JSON.parse(await readFile(file, 'utf8')) as Usage;

/** A Python with the peers and, through a path file, the very packages of the trainer's environment. Kept in the cache by what is in it. */
export async function peerPython(paths: Paths): Promise<string> {
  const name = createHash('sha256').update(readFileSync(requirements)).update(paths.trainerEnv).digest('hex').slice(0, 12);
  const folder = join(paths.cache, `bench-peers-${name}`);
  const context = { paths, report: (line: string) => console.error(line), signal: new AbortController().signal };
  await buildCacheEntry(context, folder, async (temporary) => {
    context.report('making the environment of the peers');
    await runCommand(paths.trainerPython, ['-m', 'venv', '--without-pip', temporary]);
    const [version = ''] = readdirSync(join(temporary, 'lib'));
    const packages = (env: string): string => join(env, 'lib', version, 'site-packages');
    await writeFile(join(packages(temporary), 'trainer.pth'), `${resolve(packages(paths.trainerEnv))}\n`);
    const pip = ['-m', 'pip', '--python', join(temporary, 'bin/python'), 'install', '--no-deps', '--disable-pip-version-check', '-q'];
    await runCommand(paths.trainerPython, [...pip, '-r', requirements]);
  });
  return join(folder, 'bin/python');
}

export async function runPeer(python: string, folder: string, task: PeerTask): Promise<PeerResult> {
  await mkdir(folder);
  await writeFile(join(folder, 'spec.json'), JSON.stringify(task));
  const output = await runCommand(python, [...measuring(join(folder, 'usage')), join(here, 'peers.py'), join(folder, 'spec.json')]);
  const found = JSON.parse(output.trim().split('\n').at(-1) ?? '') as PeerResult;
  return { ...found, ...(await usageOf(join(folder, 'usage'))) };
}
