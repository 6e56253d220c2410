import { readFileSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Paths, projectDir } from '../../platform/paths.ts';
import { buildCacheEntry, isComplete } from './cache-entry.ts';
import type { ProvisionContext, Provisioner } from './provision-context.ts';
import { noTelemetry } from '../../platform/no-telemetry.ts';
import { runCommand } from './run-command.ts';

const requirements = join(projectDir, 'trainer/requirements.txt');
const standIns = join(import.meta.dirname, 'python/cuda_stand_ins.py');
const minimumMinor = 11;

const folderOf = (paths: Paths): string => paths.trainerEnv;

/** Runs pip of a prepared environment. `--no-deps`: requirements.txt is the complete list, and torch's CUDA packages (4 GB) are not on it. */
const install = (context: ProvisionContext, python: string, args: readonly string[]): Promise<string> =>
  runCommand(python, ['-m', 'pip', 'install', '--no-deps', '--no-compile', '--disable-pip-version-check', '--progress-bar=off', ...args], {
    signal: context.signal,
    onLine: (line) => context.report(line.trim().slice(0, 80)),
  });

/** The first Python of PATH that is new enough. */
export async function findPython(): Promise<string> {
  const tried: string[] = [];
  for (const name of ['python3', 'python3.13', 'python3.12', 'python3.11']) {
    const version = await runCommand(name, ['-c', 'import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])']).catch(
      () => null,
    );
    const [major = 0, minor = 0] = (version ?? '').trim().split(' ').map(Number);
    if (major === 3 && minor >= minimumMinor) return name;
    if (version !== null) tried.push(`${name} is ${major}.${minor}`);
  }
  throw new Error(
    `the trainer needs Python 3.${minimumMinor} or newer with venv (Debian: apt install python3-venv)${tried.length > 0 ? `; ${tried.join(', ')}` : ''}`,
  );
}

export const trainerEnvProvisioner: Provisioner = {
  name: 'Trainer (Python, PyTorch for the CPU)',
  version: '1',
  ready: async ({ paths }) => isComplete(folderOf(paths)),
  provision: async (context) => {
    const python = await findPython();
    await buildCacheEntry(context, folderOf(context.paths), async (folder) => {
      context.report('making the environment');
      await runCommand(python, ['-m', 'venv', folder], { signal: context.signal });
      const own = join(folder, 'bin/python');
      await install(context, own, ['-r', requirements]);
      context.report('PyTorch without CUDA');
      const lib = join(folder, 'lib');
      const [version] = readdirSync(lib).filter((name) => name.startsWith('python3'));
      const packages = join(lib, version ?? 'python3', 'site-packages');
      await runCommand(own, [standIns, packages], { signal: context.signal, onLine: context.report });
      await runCommand(own, ['-c', 'import torch, tokenizers, safetensors, onnxruntime; torch.ones(2) @ torch.ones(2)'], {
        env: noTelemetry,
        signal: context.signal,
      });
      await writeFile(join(folder, 'requirements.txt'), readFileSync(requirements));
    });
  },
};
