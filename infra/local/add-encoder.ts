import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawnTexts, oddTexts } from '../../predictor/tokenizer/odd-texts.ts';
import { type TextTokenizer, loadTokenizer } from '../../predictor/tokenizer/text-tokenizer.ts';
import { BrokenEncoder, type InstalledEncoder, checkWeights, readEncoder, sourceFiles } from '../../store/encoder-folder.ts';
import { type EncoderFacts, finishEncoder, trainerEnv } from './finish-encoder.ts';
import type { ProvisionContext } from './provision-context.ts';
import { runCommand } from './run-command.ts';

/** Two cuts of a word can be equally likely to the last bit, and the two libraries read numbers with another last bit: about one text in ten thousand. */
const allowedTies = 2;
/** Tokens of a text that are compared. */
const maxTokens = 128;
/** Texts whose tokens are compared, besides the odd ones. */
const drawn = 1_000;
const paritySeed = 5;

/**
 * Adds a Hugging Face folder to MW_MODELS_DIR under a name: checks it, exports the graph for serving, compares the tokens of training and serving.
 * Throws BrokenEncoder, which names file and remedy; nothing is left of a folder that was refused.
 */
export async function addEncoder(context: ProvisionContext, source: string, facts: EncoderFacts): Promise<InstalledEncoder> {
  await checkWeights(source);
  const target = join(context.paths.modelsDir, facts.name);
  if (await stat(target).catch(() => null))
    throw new BrokenEncoder(target, 'the folder', 'is there already', 'choose another --name, or delete it where nothing uses it');
  const building = `${target}.building`;
  await rm(building, { recursive: true, force: true });
  await mkdir(building, { recursive: true });
  try {
    for (const file of sourceFiles) await copyFile(join(source, file), join(building, file));
    context.report('comparing the tokens of training and serving');
    await compareTokens(context, building);
    await finishEncoder(context, building, facts);
    await rename(building, target);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return await readEncoder(target);
}

/** The trainer reads texts with one library, the predictor with our own code: a model must be served with the tokens that it was trained with. */
async function compareTokens(context: ProvisionContext, folder: string): Promise<void> {
  const refuse = (what: string, cause?: unknown): BrokenEncoder =>
    new BrokenEncoder(folder, 'tokenizer.json', what, 'use an encoder with a tokenizer of BERT or of XLM-RoBERTa', cause);
  const texts = [...oddTexts, ...drawnTexts(drawn, paritySeed)];
  const json = await readFile(join(folder, 'tokenizer.json'));
  let serving: TextTokenizer;
  try {
    serving = loadTokenizer(json);
  } catch (error) {
    throw refuse(`cannot be used (${error instanceof Error ? error.message : String(error)})`, error);
  }
  const script = join(import.meta.dirname, 'python/encode_texts.py');
  const asked = join(folder, 'texts.json');
  await writeFile(asked, JSON.stringify({ texts, embed: [] }));
  const output = await runCommand(context.paths.trainerPython, [script, folder, String(maxTokens), asked], {
    env: trainerEnv,
    signal: context.signal,
  }).catch((error: unknown) => {
    context.signal.throwIfAborted();
    throw refuse("cannot be read by the trainer's library", error);
  });
  await rm(asked);
  const { encoded } = JSON.parse(output) as { encoded: readonly unknown[] };
  const differing = texts.filter((text, i) => JSON.stringify(serving.encode(text, maxTokens)) !== JSON.stringify(encoded[i])).length;
  if (differing > allowedTies) throw refuse(`gives other tokens in serving than in training for ${differing} of ${texts.length} texts`);
}
