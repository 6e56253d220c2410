import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../infra/local/run-command.ts';
import type { Paths } from '../../platform/paths.ts';
import { peerPython } from '../support/peer-python.ts';

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

/** The requirements are complete: what they bring in would be PyTorch with its CUDA packages. */
export const trainingPeers = (paths: Paths): Promise<string> => peerPython(paths, 'bench-peers', requirements, ['--no-deps']);

export async function runPeer(python: string, folder: string, task: PeerTask): Promise<PeerResult> {
  await mkdir(folder);
  await writeFile(join(folder, 'spec.json'), JSON.stringify(task));
  const output = await runCommand(python, [...measuring(join(folder, 'usage')), join(here, 'peers.py'), join(folder, 'spec.json')]);
  const found = JSON.parse(output.trim().split('\n').at(-1) ?? '') as PeerResult;
  return { ...found, ...(await usageOf(join(folder, 'usage'))) };
}
