import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import { bertConfigSchema, bertTensors } from '../../store/bert-config.ts';
import { causalConfigSchema, causalTensors } from '../../store/causal-config.ts';
import { type BaseKind, filesOfKind } from '../../store/encoder-folder.ts';
import { buildHeader } from '../../store/safetensors.ts';

export const tinyConfig = {
  model_type: 'bert',
  architectures: ['BertModel'],
  vocab_size: 5,
  hidden_size: 4,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 8,
  max_position_embeddings: 16,
  type_vocab_size: 2,
};

export const tinyCausalConfig = {
  model_type: 'llama',
  vocab_size: 4,
  hidden_size: 4,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 8,
  max_position_embeddings: 16,
  tie_word_embeddings: true,
};

const tokenizerOf = (model: object, preTokenizer: object): string =>
  JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    normalizer: null,
    pre_tokenizer: preTokenizer,
    post_processor: null,
    decoder: null,
    added_tokens: [],
    model,
  });

/** A folder that looks like an encoder in every file, with weights of zero and a graph that nobody runs. */
export const writeTinyEncoder = async (modelsDir: string, name: string, languages: readonly string[]): Promise<string> =>
  await writeTinyBase(modelsDir, name, languages, 'encoder');

/** The same of a causal language model. */
export const writeTinyCausal = async (modelsDir: string, name: string): Promise<string> =>
  await writeTinyBase(modelsDir, name, ['en'], 'causal-lm');

async function writeTinyBase(modelsDir: string, name: string, languages: readonly string[], kind: BaseKind): Promise<string> {
  const folder = join(modelsDir, name);
  await mkdir(folder, { recursive: true });
  const wanted =
    kind === 'encoder' ? bertTensors(bertConfigSchema.parse(tinyConfig)) : causalTensors(causalConfigSchema.parse(tinyCausalConfig));
  const tensors = wanted.map(([tensor, shape]) => ({
    name: tensor,
    dtype: 'F32',
    shape,
    bytes: shape.reduce((product, n) => product * n, 4),
  }));
  const data = Buffer.alloc(tensors.reduce((sum, { bytes }) => sum + bytes, 0));
  const vocab = { '[PAD]': 0, '[UNK]': 1, '[CLS]': 2, '[SEP]': 3, a: 4 };
  const wordPiece = { type: 'WordPiece', vocab, unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100 };
  const files = filesOfKind[kind];
  const contents: Record<string, string | Buffer> = {
    'config.json': JSON.stringify(kind === 'encoder' ? tinyConfig : tinyCausalConfig),
    'model.safetensors': Buffer.concat([buildHeader(tensors), data]),
    'tokenizer.json':
      kind === 'encoder'
        ? tokenizerOf(wordPiece, { type: 'BertPreTokenizer' })
        : tokenizerOf({ type: 'BPE', vocab: {}, merges: [] }, { type: 'ByteLevel' }),
    'encoder.onnx': `graph of ${name}`,
    'decoder.onnx': `graph of ${name}`,
  };
  for (const file of files) await writeFile(join(folder, file), contents[file] ?? '');
  const sha256 = Object.fromEntries(files.map((file) => [file, sha256Hex(contents[file] ?? '')]));
  const info = { ...(kind === 'encoder' ? {} : { kind }), name, dim: 4, maxTokens: 16, prefix: '', languages, sha256 };
  await writeFile(join(folder, 'modelwright.json'), JSON.stringify(info));
  return folder;
}

/** The two encoders that are shipped, by name and language, in a folder that can be MW_MODELS_DIR. */
export async function writeShippedEncoders(home: string): Promise<string> {
  const modelsDir = join(home, 'tiny-encoders');
  await writeTinyEncoder(modelsDir, 'all-MiniLM-L6-v2', ['en']);
  await writeTinyEncoder(modelsDir, 'multilingual-e5-small', ['en', 'zh', 'de', 'ru']);
  return modelsDir;
}
