import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { TokenEmbeddings } from '../catalog/contract.ts';
import { type Encoded, loadTokenizer } from './tokenizer/text-tokenizer.ts';

/** Tokens of one pass, padding included: bounds the memory of a request. */
const maxBatchTokens = 8_192;

export type Encoder = {
  readonly bytes: number;
  /** One embedding a text, of length 1, in the order of the texts. */
  embed(texts: readonly string[], maxTokens: number): Promise<Float32Array[]>;
  /** The last hidden state of each token of each text, in the order of the texts; not of special tokens, nor of the encoder's prefix. */
  embedTokens(texts: readonly string[], maxTokens: number): Promise<TokenEmbeddings[]>;
};

/** A sentence encoder: the tokenizer of its folder, and its ONNX graph with mean pooling in it. Shared by all models that start from it. */
export async function loadEncoder(parts: {
  readonly onnxPath: string;
  readonly tokenizer: Buffer;
  readonly bytes: number;
  readonly threads: number;
  readonly prefix: string;
  readonly dim: number;
}): Promise<Encoder> {
  const { onnxPath, tokenizer: json, bytes, threads, prefix, dim } = parts;
  const tokenizer = loadTokenizer(json);
  const session = await InferenceSession.create(onnxPath, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  // Only what is fetched is copied out of the session.
  const run = async (rows: readonly (readonly number[])[], width: number, output: string): Promise<Float32Array> => {
    const ids = new BigInt64Array(rows.length * width);
    const mask = new BigInt64Array(rows.length * width);
    rows.forEach((tokens, row) => {
      tokens.forEach((token, i) => {
        ids[row * width + i] = BigInt(token);
        mask[row * width + i] = 1n;
      });
    });
    const shape = [rows.length, width];
    const feeds = { input_ids: new Tensor('int64', ids, shape), attention_mask: new Tensor('int64', mask, shape) };
    const { [output]: fetched } = await session.run(feeds, [output]);
    return fetched?.data as Float32Array;
  };
  const encode = (texts: readonly string[], maxTokens: number): Encoded[] =>
    texts.map((text) => tokenizer.encode(`${prefix}${text}`, maxTokens));
  const prefixChars = Array.from(prefix).length;
  return {
    bytes,
    embed: async (texts, maxTokens) => {
      const encoded = encode(texts, maxTokens);
      const embeddings: Float32Array[] = Array.from({ length: texts.length });
      for (const { members, width } of batchesOf(encoded)) {
        const rows = members.map((i) => encoded[i]?.ids ?? []);
        const data = await run(rows, width, 'sentence_embedding');
        members.forEach((i, row) => (embeddings[i] = data.slice(row * dim, (row + 1) * dim)));
      }
      return embeddings;
    },
    embedTokens: async (texts, maxTokens) => {
      if (!session.outputNames.includes('token_embeddings'))
        throw new Error("the encoder's graph has no output token_embeddings: provision the base encoders again with `./mw up`");
      const encoded = encode(texts, maxTokens);
      const found: TokenEmbeddings[] = Array.from({ length: texts.length });
      for (const { members, width } of batchesOf(encoded)) {
        const rows = members.map((i) => encoded[i]?.ids ?? []);
        const data = await run(rows, width, 'token_embeddings');
        members.forEach((i, row) => {
          const kept = (encoded[i]?.offsets ?? []).flatMap(([begin, end], token) => (end > prefixChars ? [{ begin, end, token }] : []));
          const vectors = new Float32Array(kept.length * dim);
          kept.forEach(({ token }, at) => {
            const from = (row * width + token) * dim;
            vectors.set(data.subarray(from, from + dim), at * dim);
          });
          found[i] = {
            data: vectors,
            spans: kept.map(({ begin, end }) => ({ start: Math.max(0, begin - prefixChars), end: end - prefixChars })),
          };
        });
      }
      return found;
    },
  };
}

/** Texts of like length go together, so that little is computed for padding. */
function batchesOf(encoded: readonly Encoded[]): { readonly members: readonly number[]; readonly width: number }[] {
  const length = (i: number): number => encoded[i]?.ids.length ?? 0;
  const order = encoded.map((_, i) => i).sort((a, b) => length(a) - length(b));
  const batches: { members: number[]; width: number }[] = [];
  for (const i of order) {
    const last = batches.at(-1);
    // Sorted by length: the next is the longest of the batch.
    if (last && (last.members.length + 1) * length(i) <= maxBatchTokens) {
      last.members.push(i);
      last.width = length(i);
    } else batches.push({ members: [i], width: length(i) });
  }
  return batches;
}
