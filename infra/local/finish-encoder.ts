import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectDir } from '../../platform/paths.ts';
import {
  BrokenEncoder,
  type EncoderInfo,
  chatFiles,
  checkWeights,
  filesOfKind,
  readEncoder,
  sha256OfFile,
} from '../../store/encoder-folder.ts';
import type { ProvisionContext } from './provision-context.ts';
import { runCommand } from './run-command.ts';

export const trainerEnv = { PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1' };

/** What modelwright.json says beyond what is found in the folder. */
export type EncoderFacts = Pick<EncoderInfo, 'name' | 'prefix' | 'languages'> & { readonly maxTokens?: number; readonly license?: string };

/** What exports the graph for serving, and the graph's file. */
const exports = {
  encoder: { module: 'modelwright_trainer.export_onnx', graph: 'encoder.onnx' },
  'causal-lm': { module: 'modelwright_trainer.export_decoder', graph: 'decoder.onnx' },
} as const;

/**
 * Makes a base model of a folder with config.json, model.safetensors and tokenizer.json: exports the graph for serving with the trainer's own code,
 * which compares it with the model, and writes modelwright.json. Throws BrokenEncoder where the folder is none.
 */
export async function finishEncoder(context: ProvisionContext, folder: string, facts: EncoderFacts): Promise<void> {
  const { kind, dim, positions } = await checkWeights(folder);
  const { maxTokens = positions, name, prefix, languages, license } = facts;
  context.report(`exporting ${name} for serving`);
  const { module, graph } = exports[kind];
  const said = await runCommand(context.paths.trainerPython, ['-m', module, folder, join(folder, graph)], {
    env: trainerEnv,
    signal: context.signal,
  }).catch((error: unknown) => {
    context.signal.throwIfAborted();
    const last =
      String(error instanceof Error ? error.message : error)
        .trim()
        .split('\n')
        .at(-1)
        ?.trim() ?? '';
    throw new BrokenEncoder(folder, graph, `cannot be made (${last})`, 'use another model, or mend what is named', error);
  });
  if (said.trim() !== '') context.report(said.trim());
  const sha256: Record<string, string> = {};
  for (const file of filesOfKind[kind]) sha256[file] = await sha256OfFile(join(folder, file));
  for (const file of kind === 'causal-lm' ? chatFiles : [])
    if (await stat(join(folder, file)).catch(() => null)) sha256[file] = await sha256OfFile(join(folder, file));
  const info: EncoderInfo = { kind, name, dim, maxTokens: Math.min(maxTokens, positions), prefix, languages: [...languages], sha256 };
  await writeFile(join(folder, 'modelwright.json'), `${JSON.stringify({ ...info, ...(license ? { license } : {}) }, null, 2)}\n`);
  await readEncoder(folder);
}
