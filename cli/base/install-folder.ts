import { basename, join, resolve } from 'node:path';
import { stat } from 'node:fs/promises';
import { addEncoder } from '../../infra/local/add-encoder.ts';
import { provisionAll } from '../../infra/local/provision.ts';
import { trainerEnvProvisioner } from '../../infra/local/trainer-env.ts';
import { type Paths, resolvePaths } from '../../platform/paths.ts';
import { BrokenEncoder, type InstalledEncoder, readEncoder, sha256OfFile } from '../../store/encoder-folder.ts';
import { CommandError } from '../command.ts';

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** As commander gives them. */
export type InstallOptions = {
  readonly languages?: string;
  readonly name?: string;
  readonly prefix: string;
  readonly license?: string;
  readonly maxTokens?: string;
};

/** What commander is told, but for `--languages`. */
export const installFlags = [
  ['--name <name>', "name for the option baseModel (default: the folder's)"],
  ['--license <name>', 'its licence'],
  ['--max-tokens <n>', 'tokens that it reads at most (default: what config.json says)'],
] as const;
export const prefixFlag = ['--prefix <text>', 'goes before every text, such as "query: "'] as const;
export const languagesFlag = [
  '--languages <codes>',
  'languages that it was trained on, such as en,zh: it is chosen for examples in them',
] as const;

/** BrokenEncoder as a refused wish: which file, why, and what to do. */
export async function refusing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BrokenEncoder) throw new CommandError(error.message);
    throw error;
  }
}

/** Checks a Hugging Face folder, exports its graph for serving and puts it into MW_MODELS_DIR. Throws CommandError. */
export async function installFolder(
  folder: string,
  name: string,
  options: InstallOptions,
  report: (line: string) => void,
): Promise<InstalledEncoder> {
  const paths = resolvePaths(process.env);
  const signal = new AbortController().signal;
  const languages = (options.languages ?? '').split(',').map((code) => code.trim());
  if (!languages.every((code) => /^[a-z]{2,3}$/.test(code))) throw new CommandError('--languages takes codes of ISO 639, such as en,zh');
  const maxTokens = options.maxTokens === undefined ? {} : { maxTokens: Number(options.maxTokens) };
  if (options.maxTokens !== undefined && !/^[1-9]\d{0,5}$/.test(options.maxTokens))
    throw new CommandError('--max-tokens takes a whole number');
  await provisionAll([trainerEnvProvisioner], paths, signal, process.stdout.isTTY);
  const context = { paths, signal, report };
  const { license, prefix } = options;
  const facts = { name, languages, prefix, ...maxTokens, ...(license ? { license } : {}) };
  return await refusing(() => addEncoder(context, resolve(folder), facts));
}

/** Throws CommandError where the name is none. */
export function nameOf(folder: string, options: Pick<InstallOptions, 'name'>): string {
  const name = options.name ?? basename(resolve(folder));
  if (!namePattern.test(name))
    throw new CommandError(`"${name}" is no name for a base model: use letters, digits, dot, dash and underscore, at most 100`);
  return name;
}

const sizeOf = async (path: string): Promise<number | null> => (await stat(path).catch(() => null))?.size ?? null;

/**
 * The base model of a folder that is to be pushed, every byte of it checked: one that `mw base add` made, or one from elsewhere, which is installed here
 * first, or was by an earlier call of the same. Throws CommandError.
 */
export async function checkedBase(folder: string, options: InstallOptions, report: (line: string) => void): Promise<InstalledEncoder> {
  if ((await sizeOf(join(folder, 'modelwright.json'))) !== null) {
    const base = await refusing(() => readEncoder(resolve(folder)));
    if (options.name !== undefined && options.name !== base.name)
      throw new CommandError(`the base model in ${folder} is called ${base.name} in its modelwright.json: leave --name out`);
    return base;
  }
  const name = nameOf(folder, options);
  const before = await installedBefore(resolvePaths(process.env), folder, name);
  if (before) return before;
  if (options.languages === undefined)
    throw new CommandError(`${folder} is from elsewhere: name the languages that it was trained on, by --languages, such as en,zh`);
  return await installFolder(folder, name, options, report);
}

async function installedBefore(paths: Paths, folder: string, name: string): Promise<InstalledEncoder | null> {
  const target = join(paths.modelsDir, name);
  if ((await sizeOf(join(target, 'modelwright.json'))) === null) return null;
  const base = await refusing(() => readEncoder(target));
  for (const file of ['config.json', 'tokenizer.json', 'model.safetensors']) {
    const path = join(folder, file);
    // Weights in several files are one file when they are installed.
    if ((await sizeOf(path)) === null && file === 'model.safetensors' && (await sizeOf(`${path}.index.json`)) !== null) continue;
    if ((await sizeOf(path)) === null || (await sha256OfFile(path)) !== base.sha256[file])
      throw new CommandError(`${name} is installed in ${paths.modelsDir} with another ${file} than ${folder} has: choose another --name`);
  }
  return base;
}
