import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChosenEncoder, DatasetManifest } from '../../core/dataset.ts';
import type { Json } from '../../core/json.ts';
import { BrokenEncoder, type InstalledEncoder, listEncoders, readEncoder } from '../../store/encoder-folder.ts';
import { chooseEncoder } from '../dataset/choose-encoder.ts';
import { failure } from '../failure.ts';

export type BaseModel = InstalledEncoder;

/** An encoder with all its files checked. Fails with BadOptions, which names the file and what to do. */
export async function loadBaseModel(modelsDir: string, name: string): Promise<BaseModel> {
  const folder = join(modelsDir, name);
  const installed = await access(folder).then(
    () => true,
    () => false,
  );
  if (!installed) {
    const others = (await listEncoders(modelsDir)).map((encoder) => encoder.name);
    const choice = others.length > 0 ? `choose another baseModel (${others.join(', ')})` : 'none is';
    throw failure('BadOptions', `the encoder ${name} is not installed on this worker: run \`./mw up\` or \`./mw base add\`, or ${choice}`);
  }
  try {
    return await readEncoder(folder);
  } catch (error) {
    if (error instanceof BrokenEncoder) throw failure('BadOptions', error.message, error);
    throw error;
  }
}

type Options = { readonly [name: string]: Json };

const optionOf = ({ baseModel }: Options): string | null => (typeof baseModel === 'string' ? baseModel : null);

/** Chooses the encoder of a dataset and checks that it is whole, before anything is trained. */
export async function chooseBaseModel(
  modelsDir: string,
  options: Options,
  counts: NonNullable<DatasetManifest['languages']>,
  parent: Pick<DatasetManifest, 'baseModel'> | null,
): Promise<ChosenEncoder> {
  const installed = await listEncoders(modelsDir);
  const before = parent?.baseModel?.name ?? null;
  const chosen = chooseEncoder({ installed, counts, option: optionOf(options), before });
  if (!chosen) throw failure('BadOptions', `no encoder is installed in ${modelsDir}: run \`./mw up\``);
  const { name, languages, why } = chosen;
  const { digest } = await loadBaseModel(modelsDir, name);
  return { name, digest, languages, why };
}

/** What datasets from before languages were counted start from. */
const formerDefault = 'all-MiniLM-L6-v2';

/** The encoder that a dataset was built for: its choice is frozen, whatever was installed or said since. */
export async function baseModelOf(
  modelsDir: string,
  options: Options,
  { baseModel }: Pick<DatasetManifest, 'baseModel'>,
): Promise<BaseModel> {
  const base = await loadBaseModel(modelsDir, baseModel?.name ?? optionOf(options) ?? formerDefault);
  if (baseModel && base.digest !== baseModel.digest)
    throw failure(
      'BadOptions',
      `the encoder ${base.name} on this worker is not the one that the dataset was built for: its folder was replaced; start a run anew`,
    );
  return base;
}
