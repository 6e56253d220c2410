import { createReadStream } from 'node:fs';
import { open, readFile, readdir, stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../core/json.ts';
import { sha256Hex } from '../platform/hash.ts';
import { bertConfigSchema, bertProblem, bertTensors } from './bert-config.ts';
import { causalConfigSchema, causalPositions, causalProblem, causalTensors, causalTypes } from './causal-config.ts';
import { readHeader } from './safetensors-file.ts';
import { type SafetensorsFile, SafetensorsError } from './safetensors.ts';

/** Files of a Hugging Face folder that an encoder is made of. */
export const sourceFiles = ['config.json', 'model.safetensors', 'tokenizer.json'] as const;
/** Files that make an encoder; modelwright.json names each with its digest. */
export const encoderFiles = [...sourceFiles, 'encoder.onnx'] as const;
/** Files that make a causal language model, and those that may be beside them: how conversations look. */
const causalFiles = [...sourceFiles, 'decoder.onnx'] as const;
export const chatFiles = ['tokenizer_config.json', 'generation_config.json', 'chat_template.jinja'] as const;

/** What a base model does with a text: an encoder turns it into vectors, a causal language model goes on with it. */
export const baseKinds = ['encoder', 'causal-lm'] as const;
export type BaseKind = (typeof baseKinds)[number];
export const filesOfKind = { encoder: encoderFiles, 'causal-lm': causalFiles } as const;

/** modelwright.json of an encoder's folder: what training and serving must agree on, and who may be served by it. */
export const encoderInfoSchema = z.looseObject({
  /** Absent in folders from before there were others than encoders. */
  kind: z.enum(baseKinds).default('encoder'),
  name: z.string(),
  dim: z.int().positive(),
  maxTokens: z.int().positive(),
  /** Goes before every text. */
  prefix: z.string(),
  /** Codes of ISO 639 that it was trained on. */
  languages: z.array(z.string().min(1)).min(1),
  license: z.string().optional(),
  sha256: z.record(z.string(), z.string()),
});
export type EncoderInfo = z.infer<typeof encoderInfoSchema>;

/** A folder whose every file was checked. `digest` stands for all of it. */
export type InstalledEncoder = EncoderInfo & { readonly folder: string; readonly digest: string };

/** The folder is no encoder that we can use: which file, why, and what to do. */
export class BrokenEncoder extends Error {
  override name = 'BrokenEncoder';
  readonly file: string;
  readonly remedy: string;
  constructor(folder: string, file: string, what: string, remedy: string, cause?: unknown) {
    super(`the base model in ${folder} is broken: ${file} ${what}: ${remedy}`, { cause });
    this.file = file;
    this.remedy = remedy;
  }
}

const addAgain = 'delete the folder and make it anew, by `./mw base add` or, one that is shipped, by `./mw up`';
const fetchAgain = 'get the file again from where the model came from; one that is shipped: delete its folder and run `./mw up`';
/** What PyTorch saves by itself. Reading one can run any code, so nobody here does. */
const pickle = /\.(bin|pt|pth|pkl|ckpt)$/;

export const digestOf = (sha256: EncoderInfo['sha256']): string => sha256Hex(canonicalJson(sha256));

const architectures =
  'use a BERT encoder in Hugging Face layout, such as all-MiniLM-L6-v2, bge-small or multilingual-e5, or a causal language model of Llama, Mistral or Qwen';

type Architecture = {
  readonly kind: BaseKind;
  readonly dim: number;
  readonly positions: number;
  readonly tensors: (readonly [string, readonly number[]])[];
  readonly tokenizers: readonly string[];
};

/** What config.json says: which kind of model it is, and what its weights must be. */
async function architectureOf(folder: string): Promise<Architecture> {
  const raw = await readJson(folder, 'config.json', fetchAgain);
  const causal = causalTypes.some((type) => type === (raw as { model_type?: unknown } | null)?.model_type);
  const refuse = (what: string): BrokenEncoder => new BrokenEncoder(folder, 'config.json', what, architectures);
  if (causal) {
    const { data, error } = causalConfigSchema.safeParse(raw);
    if (!data) throw refuse(`describes no causal language model: ${z.prettifyError(error)}`);
    const problem = causalProblem(data);
    if (problem) throw refuse(problem);
    return {
      kind: 'causal-lm',
      dim: data.hidden_size,
      positions: causalPositions(data),
      tensors: causalTensors(data),
      tokenizers: ['BPE'],
    };
  }
  const { data, error } = bertConfigSchema.safeParse(raw);
  if (!data) throw refuse(`describes no BERT: ${z.prettifyError(error)}`);
  const problem = bertProblem(data);
  if (problem) throw refuse(problem);
  const { hidden_size: dim, max_position_embeddings: positions } = data;
  return { kind: 'encoder', dim, positions, tensors: bertTensors(data), tokenizers: ['WordPiece', 'Unigram'] };
}

/** Checks the parts that come from elsewhere: architecture, weights and tokenizer; returns the kind, the dimension and the longest text. */
export async function checkWeights(folder: string): Promise<Pick<Architecture, 'kind' | 'dim' | 'positions'>> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new BrokenEncoder(folder, 'the folder', 'is missing', 'check the path', error);
  });
  const { kind, dim, positions, tensors: wanted, tokenizers } = await architectureOf(folder);
  if (!names.includes('model.safetensors')) {
    const found = names.find((name) => pickle.test(name));
    throw found
      ? new BrokenEncoder(
          folder,
          found,
          'is a pickle, which can run any code and is not read, and there is no model.safetensors',
          'convert it to safetensors where you trust it',
        )
      : new BrokenEncoder(folder, 'model.safetensors', 'is missing', fetchAgain);
  }
  const tensors = await readTensors(folder);
  for (const [name, shape] of wanted) {
    const found = tensors.get(name);
    if (!found) throw new BrokenEncoder(folder, 'model.safetensors', `lacks the tensor ${name} of config.json's model`, fetchAgain);
    if (found.shape.join() !== shape.join())
      throw new BrokenEncoder(
        folder,
        'model.safetensors',
        `has ${name} of shape [${found.shape.join(', ')}], config.json wants [${shape.join(', ')}]`,
        fetchAgain,
      );
    if (!/^B?F(16|32)$/.test(found.dtype))
      throw new BrokenEncoder(folder, 'model.safetensors', `has ${name} as ${found.dtype}`, 'save it as F32, F16 or BF16');
  }
  const tokenizer = await readJson(folder, 'tokenizer.json', fetchAgain);
  const type = (tokenizer as { model?: { type?: unknown } } | null)?.model?.type;
  if (!tokenizers.some((one) => one === type))
    throw new BrokenEncoder(folder, 'tokenizer.json', `has no ${tokenizers.join(' or ')} model but ${String(type)}`, architectures);
  return { kind, dim, positions };
}

async function readTensors(folder: string): Promise<SafetensorsFile['tensors']> {
  const file = await open(join(folder, 'model.safetensors'));
  try {
    return (await readHeader(file)).tensors;
  } catch (error) {
    if (!(error instanceof SafetensorsError)) throw error;
    throw new BrokenEncoder(folder, 'model.safetensors', `cannot be read (${error.message})`, fetchAgain, error);
  } finally {
    await file.close();
  }
}

async function readJson(folder: string, name: string, remedy: string): Promise<unknown> {
  const text = await readFile(join(folder, name), 'utf8').catch((error: unknown) => {
    throw new BrokenEncoder(folder, name, 'is missing', remedy, error);
  });
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new BrokenEncoder(folder, name, 'is no JSON', remedy, error);
  }
}

/** SHA-256 of a file, read in pieces. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(part as Buffer);
  return hash.digest('hex');
}

/** Folders that were found whole, by what their files looked like: hashing half a gigabyte costs a third of a second. */
const checked = new Map<string, { readonly look: string; readonly encoder: InstalledEncoder }>();

/** Folders that are read now: hundreds of trainings that begin together ask for the same one. */
const reading = new Map<string, Promise<InstalledEncoder>>();

/** Reads an encoder's folder, every byte of it, once for all who ask at a time. Throws BrokenEncoder with the file and the remedy. */
export async function readEncoder(folder: string): Promise<InstalledEncoder> {
  const now = reading.get(folder);
  if (now) return await now;
  const read = readFolder(folder);
  reading.set(folder, read);
  try {
    return await read;
  } finally {
    reading.delete(folder);
  }
}

async function readFolder(folder: string): Promise<InstalledEncoder> {
  const raw = await readJson(folder, 'modelwright.json', addAgain);
  const look = await lookOf(folder);
  const known = checked.get(folder);
  if (known?.look === look) return known.encoder;
  const info = encoderInfoSchema.safeParse(raw);
  if (!info.success) throw new BrokenEncoder(folder, 'modelwright.json', `does not hold: ${z.prettifyError(info.error)}`, addAgain);
  const { kind, dim, positions } = await checkWeights(folder);
  if (info.data.kind !== kind)
    throw new BrokenEncoder(folder, 'modelwright.json', `says ${info.data.kind}, config.json describes another kind: ${kind}`, addAgain);
  if (info.data.dim !== dim)
    throw new BrokenEncoder(folder, 'modelwright.json', `says ${info.data.dim} dimensions, config.json ${dim}`, addAgain);
  if (info.data.maxTokens > positions)
    throw new BrokenEncoder(folder, 'modelwright.json', `says ${info.data.maxTokens} tokens, the model reads ${positions}`, addAgain);
  for (const file of new Set([...filesOfKind[kind], ...Object.keys(info.data.sha256)])) {
    const expected = info.data.sha256[file];
    if (expected === undefined) throw new BrokenEncoder(folder, 'modelwright.json', `has no digest of ${file}`, addAgain);
    const found = await sha256OfFile(join(folder, file)).catch((error: unknown) => {
      throw new BrokenEncoder(folder, file, 'is missing or cannot be read', addAgain, error);
    });
    if (found !== expected) throw new BrokenEncoder(folder, file, 'is not the file that modelwright.json names by its digest', addAgain);
  }
  const encoder = { ...info.data, folder, digest: digestOf(info.data.sha256) };
  checked.set(folder, { look, encoder });
  return encoder;
}

/** Size, time and inode of every file: what changes when a file is replaced. */
async function lookOf(folder: string): Promise<string> {
  const looks = await Promise.all(
    [...new Set([...encoderFiles, ...causalFiles, ...chatFiles, 'modelwright.json'])].map(async (file) => {
      const found = await stat(join(folder, file)).catch(() => null);
      return found ? `${found.size} ${found.mtimeMs} ${found.ino}` : '-';
    }),
  );
  return looks.join('|');
}

/** What the base models in MW_MODELS_DIR say of themselves, their files not looked at; folders that say nothing are left out. */
export async function listEncoders(modelsDir: string): Promise<EncoderInfo[]> {
  const found: EncoderInfo[] = [];
  for (const name of await encoderNames(modelsDir)) {
    const raw = await readJson(join(modelsDir, name), 'modelwright.json', addAgain).catch(() => null);
    const info = encoderInfoSchema.safeParse(raw);
    if (info.success) found.push({ ...info.data, name });
  }
  return found;
}

export type CheckedEncoder = { readonly name: string; readonly found: InstalledEncoder | BrokenEncoder };

/** Every folder in MW_MODELS_DIR that claims to be an encoder, every byte of it looked at. */
export const checkEncoders = async (modelsDir: string): Promise<CheckedEncoder[]> =>
  await Promise.all(
    (await encoderNames(modelsDir)).map(async (name) => {
      const found = await readEncoder(join(modelsDir, name)).catch((error: unknown) => {
        if (error instanceof BrokenEncoder) return error;
        throw error;
      });
      return { name, found };
    }),
  );

/** Names of folders in MW_MODELS_DIR that claim to be encoders. */
async function encoderNames(modelsDir: string): Promise<string[]> {
  const entries = await readdir(modelsDir, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory() && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(entry.name) && !entry.name.endsWith('.building'))
    .map(({ name }) => name)
    .sort();
}
