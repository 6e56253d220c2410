import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChosenEncoder, DatasetManifest } from '../../core/dataset.ts';
import type { Json } from '../../core/json.ts';
import { type BaseKind, BrokenEncoder, type InstalledEncoder, listEncoders, readEncoder } from '../../store/encoder-folder.ts';
import { chooseEncoder } from '../dataset/choose-encoder.ts';
import { failure } from '../failure.ts';
import type { BringBase } from './bring-base.ts';

export type BaseModel = InstalledEncoder;

const wording: Readonly<Record<BaseKind, { readonly a: string; readonly none: string; readonly what: string }>> = {
  encoder: { a: 'an encoder', none: 'run `./mw up` or `./mw base add`', what: 'encoder' },
  'causal-lm': { a: 'a causal language model', none: 'add one by `./mw base add`', what: 'causal language model' },
};
const namesOf = async (modelsDir: string, kind: BaseKind): Promise<string[]> =>
  (await listEncoders(modelsDir)).filter((base) => base.kind === kind).map(({ name }) => name);

const isInstalled = (modelsDir: string, name: string): Promise<boolean> =>
  access(join(modelsDir, name)).then(
    () => true,
    () => false,
  );
const bringNothing: BringBase = () => Promise.resolve();

/** A base model with all its files checked; one that is not here is brought first. Fails with BadOptions, which names the file and what to do. */
export async function loadBaseModel(
  modelsDir: string,
  name: string,
  kind: BaseKind = 'encoder',
  bring: BringBase = bringNothing,
): Promise<BaseModel> {
  const { a, none, what } = wording[kind];
  const folder = join(modelsDir, name);
  if (!(await isInstalled(modelsDir, name))) await bring(name);
  const installed = await isInstalled(modelsDir, name);
  if (!installed) {
    const others = await namesOf(modelsDir, kind);
    const choice = others.length > 0 ? `choose another baseModel (${others.join(', ')})` : 'none is';
    throw failure('BadOptions', `the ${what} ${name} is not installed on this worker: ${none}, or ${choice}`);
  }
  let found: BaseModel;
  try {
    found = await readEncoder(folder);
  } catch (error) {
    if (error instanceof BrokenEncoder) throw failure('BadOptions', error.message, error);
    throw error;
  }
  if (found.kind === kind) return found;
  const others = (await namesOf(modelsDir, kind)).join(', ');
  throw failure(
    'BadOptions',
    `${name} is ${wording[found.kind].a}, and this business model starts from ${a}: ${others === '' ? none : `choose another baseModel (${others})`}`,
  );
}

type Options = { readonly [name: string]: Json };

const optionOf = ({ baseModel }: Options): string | null => (typeof baseModel === 'string' ? baseModel : null);

/** Chooses the base model of a dataset and checks that it is whole, before anything is trained. */
export async function chooseBaseModel(
  modelsDir: string,
  options: Options,
  counts: NonNullable<DatasetManifest['languages']>,
  parent: Pick<DatasetManifest, 'baseModel'> | null,
  kind: BaseKind = 'encoder',
  bring: BringBase = bringNothing,
): Promise<ChosenEncoder> {
  const wished = optionOf(options);
  if (wished !== null && !(await isInstalled(modelsDir, wished))) await bring(wished);
  const installed = (await listEncoders(modelsDir)).filter((base) => base.kind === kind);
  const before = parent?.baseModel?.name ?? null;
  const option = wished;
  // What language a model writes well says nothing of what it is good for: a person chooses it.
  if (kind === 'causal-lm' && option === null) {
    const names = installed.map(({ name }) => name).join(', ') || `none is installed; ${wording[kind].none}`;
    throw failure('BadOptions', `this business model needs the option baseModel, the name of ${wording[kind].a} (${names})`);
  }
  const chosen = chooseEncoder({ installed, counts, option, before });
  if (!chosen) throw failure('BadOptions', `no encoder is installed in ${modelsDir}: run \`./mw up\``);
  const { name, languages, why } = chosen;
  const { digest } = await loadBaseModel(modelsDir, name, kind);
  return { name, digest, languages, why };
}

/** What datasets from before languages were counted start from. */
const formerDefault = 'all-MiniLM-L6-v2';

/** The base model that a dataset was built for: its choice is frozen, whatever was installed or said since. */
export async function baseModelOf(
  modelsDir: string,
  options: Options,
  { baseModel }: Pick<DatasetManifest, 'baseModel'>,
  kind: BaseKind = 'encoder',
  bring: BringBase = bringNothing,
): Promise<BaseModel> {
  const base = await loadBaseModel(modelsDir, baseModel?.name ?? optionOf(options) ?? formerDefault, kind, bring);
  if (baseModel && base.digest !== baseModel.digest)
    throw failure(
      'BadOptions',
      `the ${wording[kind].what} ${base.name} on this worker is not the one that the dataset was built for: its folder was replaced; start a run anew`,
    );
  return base;
}
