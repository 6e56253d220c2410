import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectDir } from '../../platform/paths.ts';
import { type EncoderInfo, checkWeights, encoderFiles, readEncoder, sha256OfFile } from '../../store/encoder-folder.ts';
import type { ProvisionContext } from './provision-context.ts';
import { runCommand } from './run-command.ts';

export const trainerEnv = { PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1' };

/** What modelwright.json says beyond what is found in the folder. */
export type EncoderFacts = Pick<EncoderInfo, 'name' | 'prefix' | 'languages'> & { readonly maxTokens?: number; readonly license?: string };

/**
 * Makes an encoder of a folder with config.json, model.safetensors and tokenizer.json: exports the graph for serving with the trainer's own code,
 * which compares it with the encoder, and writes modelwright.json. Throws BrokenEncoder where the folder is none.
 */
export async function finishEncoder(context: ProvisionContext, folder: string, facts: EncoderFacts): Promise<void> {
  const { kind, dim, positions } = await checkWeights(folder);
  const { maxTokens = positions, name, prefix, languages, license } = facts;
  context.report(`exporting ${name} for serving`);
  await runCommand(context.paths.trainerPython, ['-m', 'modelwright_trainer.export_onnx', folder, join(folder, 'encoder.onnx')], {
    env: trainerEnv,
    signal: context.signal,
  });
  const sha256: Record<string, string> = {};
  for (const file of encoderFiles) sha256[file] = await sha256OfFile(join(folder, file));
  const info: EncoderInfo = { kind, name, dim, maxTokens: Math.min(maxTokens, positions), prefix, languages: [...languages], sha256 };
  await writeFile(join(folder, 'modelwright.json'), `${JSON.stringify({ ...info, ...(license ? { license } : {}) }, null, 2)}\n`);
  await readEncoder(folder);
}
