import { Tokenizer } from '@huggingface/tokenizers';
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** Tokens of one pass, padding included: bounds the memory of a request. */
const maxBatchTokens = 8_192;

export type Encoder = {
  readonly bytes: number;
  /** One embedding a text, of length 1, in the order of the texts. */
  embed(texts: readonly string[], maxTokens: number): Promise<Float32Array[]>;
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
  const tokenizer = new Tokenizer(JSON.parse(json.toString('utf8')) as object, {});
  const session = await InferenceSession.create(onnxPath, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  const run = async (rows: readonly (readonly number[])[]): Promise<Float32Array> => {
    const width = Math.max(...rows.map((ids) => ids.length));
    const ids = new BigInt64Array(rows.length * width);
    const mask = new BigInt64Array(rows.length * width);
    rows.forEach((tokens, row) => {
      tokens.forEach((token, i) => {
        ids[row * width + i] = BigInt(token);
        mask[row * width + i] = 1n;
      });
    });
    const shape = [rows.length, width];
    const { sentence_embedding: embedding } = await session.run({
      input_ids: new Tensor('int64', ids, shape),
      attention_mask: new Tensor('int64', mask, shape),
    });
    return embedding?.data as Float32Array;
  };
  return {
    bytes,
    embed: async (texts, maxTokens) => {
      const tokens = texts.map((text) => truncated(tokenizer.encode(`${prefix}${text}`).ids, maxTokens));
      // Texts of like length go together, so that little is computed for padding.
      const order = tokens.map((_, i) => i).sort((a, b) => (tokens[a]?.length ?? 0) - (tokens[b]?.length ?? 0));
      const embeddings: Float32Array[] = Array.from({ length: texts.length });
      for (let at = 0; at < order.length;) {
        let count = 1;
        while (at + count < order.length && (count + 1) * (tokens[order[at + count] as number]?.length ?? 0) <= maxBatchTokens) count++;
        const batch = order.slice(at, at + count);
        const data = await run(batch.map((i) => tokens[i] ?? []));
        batch.forEach((i, row) => (embeddings[i] = data.slice(row * dim, (row + 1) * dim)));
        at += count;
      }
      return embeddings;
    },
  };
}

/** Cuts to a number of tokens and keeps the closing special token, as the trainer's tokenizer does. */
function truncated(ids: readonly number[], maxTokens: number): number[] {
  if (ids.length <= maxTokens) return [...ids];
  return [...ids.slice(0, maxTokens - 1), ids.at(-1) as number];
}
