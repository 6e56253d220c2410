import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadChatTokenizer } from '../../predictor/tokenizer/chat-tokenizer.ts';
import { drawnTexts, oddTexts } from '../../predictor/tokenizer/odd-texts.ts';
import { loadTokenizer } from '../../predictor/tokenizer/text-tokenizer.ts';
import {
  type BaseKind,
  BrokenEncoder,
  type InstalledEncoder,
  chatFiles,
  checkWeights,
  readEncoder,
  sourceFiles,
} from '../../store/encoder-folder.ts';
import { SafetensorsError } from '../../store/safetensors.ts';
import { type EncoderFacts, finishEncoder, trainerEnv } from './finish-encoder.ts';
import { indexFile, mergeShards } from './merge-shards.ts';
import type { ProvisionContext } from './provision-context.ts';
import { runCommand } from './run-command.ts';

/** Two cuts of a word can be equally likely to the last bit, and the two libraries read numbers with another last bit: about one text in ten thousand. */
const allowedTies = 2;
/** Tokens of a text that are compared. */
const maxTokens = 128;
/** Texts whose tokens are compared, besides the odd ones. */
const drawn = 1_000;
const paritySeed = 5;

const isThere = async (path: string): Promise<boolean> => (await stat(path).catch(() => null)) !== null;

/**
 * Adds a Hugging Face folder to MW_MODELS_DIR under a name: checks it, exports the graph for serving, compares the tokens of training and serving.
 * Throws BrokenEncoder, which names file and remedy; nothing is left of a folder that was refused.
 */
export async function addEncoder(context: ProvisionContext, source: string, facts: EncoderFacts): Promise<InstalledEncoder> {
  const weights = 'model.safetensors';
  const sharded = !(await isThere(join(source, weights))) && (await isThere(join(source, indexFile)));
  if (!sharded) await checkWeights(source);
  const target = join(context.paths.modelsDir, facts.name);
  if (await isThere(target))
    throw new BrokenEncoder(target, 'the folder', 'is there already', 'choose another --name, or delete it where nothing uses it');
  const building = `${target}.building`;
  await rm(building, { recursive: true, force: true });
  await mkdir(building, { recursive: true });
  try {
    for (const file of sourceFiles) if (!sharded || file !== weights) await copyIn(source, building, file);
    if (sharded)
      await mergeShards(source, join(building, weights)).catch((error: unknown) => {
        if (!(error instanceof SafetensorsError)) throw error;
        throw new BrokenEncoder(
          source,
          indexFile,
          `cannot be followed (${error.message})`,
          'get its files again from where the model came from',
          error,
        );
      });
    const { kind } = await checkWeights(building);
    if (kind === 'causal-lm') for (const file of chatFiles) if (await isThere(join(source, file))) await copyIn(source, building, file);
    context.report('comparing the tokens of training and serving');
    await compareTokens(context, building, kind);
    await finishEncoder(context, building, facts);
    await rename(building, target);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return await readEncoder(target);
}

const copyIn = async (source: string, target: string, file: string): Promise<void> =>
  await copyFile(join(source, file), join(target, file)).catch((error: unknown) => {
    throw new BrokenEncoder(source, file, 'is missing or cannot be read', 'get it again from where the model came from', error);
  });

/** What serving makes of a text, in the form in which encode_texts.py says what training does. An encoder's answer has the places of tokens too. */
function servingTokens(json: Buffer, kind: BaseKind): (text: string) => unknown {
  if (kind === 'encoder') {
    const tokenizer = loadTokenizer(json);
    return (text) => tokenizer.encode(text, maxTokens);
  }
  const tokenizer = loadChatTokenizer(json);
  return (text) => ({ ids: tokenizer.encode(text, true).slice(0, maxTokens) });
}

/** The trainer reads texts with one library, the predictor with our own code: a model must be served with the tokens that it was trained with. */
async function compareTokens(context: ProvisionContext, folder: string, kind: BaseKind): Promise<void> {
  const remedy =
    kind === 'encoder'
      ? 'use an encoder with a tokenizer of BERT or of XLM-RoBERTa'
      : 'use a model with byte-level BPE, such as those of Llama 3 and Qwen2';
  const refuse = (what: string, cause?: unknown): BrokenEncoder => new BrokenEncoder(folder, 'tokenizer.json', what, remedy, cause);
  const texts = [...oddTexts, ...drawnTexts(drawn, paritySeed)];
  const json = await readFile(join(folder, 'tokenizer.json'));
  let serving: (text: string) => unknown;
  try {
    serving = servingTokens(json, kind);
  } catch (error) {
    throw refuse(`cannot be used (${error instanceof Error ? error.message : String(error)})`, error);
  }
  const script = join(import.meta.dirname, 'python/encode_texts.py');
  const asked = join(folder, 'texts.json');
  await writeFile(asked, JSON.stringify({ texts, embed: [], bare: kind === 'causal-lm' }));
  const output = await runCommand(context.paths.trainerPython, [script, folder, String(maxTokens), asked], {
    env: trainerEnv,
    signal: context.signal,
  }).catch((error: unknown) => {
    context.signal.throwIfAborted();
    throw refuse("cannot be read by the trainer's library", error);
  });
  await rm(asked);
  const { encoded } = JSON.parse(output) as { encoded: readonly unknown[] };
  const differing = texts.filter((text, i) => JSON.stringify(serving(text)) !== JSON.stringify(encoded[i])).length;
  if (differing > allowedTies) throw refuse(`gives other tokens in serving than in training for ${differing} of ${texts.length} texts`);
}
