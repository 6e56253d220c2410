import { Tokenizer } from '@huggingface/tokenizers';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { TokenEmbeddings } from '../catalog/contract.ts';
import { type TokenNames, tokenSpans } from './token-spans.ts';

/** Tokens of one pass, padding included: bounds the memory of a request. */
const maxBatchTokens = 8_192;
const sentences = 'sentence_embedding';
const tokenVectors = 'token_embeddings';

export type Encoder = {
  readonly bytes: number;
  /** One embedding a text, of length 1, in the order of the texts. */
  embed(texts: readonly string[], maxTokens: number): Promise<Float32Array[]>;
  /** The tokens of each text that stand for something in it. Fails where the graph gives no vectors of tokens. */
  embedTokens(texts: readonly string[], maxTokens: number): Promise<TokenEmbeddings[]>;
};

type Tokens = { readonly ids: readonly number[]; readonly names: readonly string[] };

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
  const names = namesOf(tokenizer, json);
  const prefixPoints = Array.from(prefix).length;

  const tokensOf = (text: string, maxTokens: number): Tokens => {
    const { ids, tokens } = tokenizer.encode(`${prefix}${text}`);
    return { ids: truncated(ids, maxTokens), names: truncated(tokens, maxTokens) };
  };
  /** One pass over rows of token ids; the output's rows lie one after the other. */
  const run = async (rows: readonly (readonly number[])[], output: string): Promise<Float32Array> => {
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
    const feeds = { input_ids: new Tensor('int64', ids, shape), attention_mask: new Tensor('int64', mask, shape) };
    // Only what is asked for is computed and copied.
    const { [output]: found } = await session.run(feeds, [output]);
    return found?.data as Float32Array;
  };
  /** Runs texts in batches of like length, so that little is computed for padding; `take` gets the numbers of one text. */
  const runAll = async (
    texts: readonly Tokens[],
    output: string,
    take: (i: number, data: Float32Array, row: number, width: number) => void,
  ) => {
    const lengthOf = (i: number): number => texts[i]?.ids.length ?? 0;
    const order = texts.map((_, i) => i).sort((a, b) => lengthOf(a) - lengthOf(b));
    for (let at = 0; at < order.length;) {
      let count = 1;
      while (at + count < order.length && (count + 1) * lengthOf(order[at + count] as number) <= maxBatchTokens) count++;
      const batch = order.slice(at, at + count);
      const data = await run(
        batch.map((i) => texts[i]?.ids ?? []),
        output,
      );
      const width = lengthOf(batch.at(-1) as number);
      batch.forEach((i, row) => take(i, data, row, width));
      at += count;
    }
  };
  return {
    bytes,
    embed: async (texts, maxTokens) => {
      const embeddings: Float32Array[] = Array.from({ length: texts.length });
      const tokens = texts.map((text) => tokensOf(text, maxTokens));
      await runAll(tokens, sentences, (i, data, row) => (embeddings[i] = data.slice(row * dim, (row + 1) * dim)));
      return embeddings;
    },
    embedTokens: async (texts, maxTokens) => {
      if (!session.outputNames.includes(tokenVectors))
        throw new Error(`the encoder's graph has no output ${tokenVectors}: provision the base encoders again with \`./mw up\``);
      const found: TokenEmbeddings[] = Array.from({ length: texts.length });
      const tokens = texts.map((text) => tokensOf(text, maxTokens));
      await runAll(tokens, tokenVectors, (i, data, row, width) => {
        const spans = tokenSpans(`${prefix}${texts[i] ?? ''}`, tokens[i]?.names ?? [], names);
        const kept = spans.flatMap((span, token) => (span && span.start >= prefixPoints ? [{ token, ...span }] : []));
        const vectors = new Float32Array(kept.length * dim);
        kept.forEach(({ token }, k) => {
          const from = (row * width + token) * dim;
          vectors.set(data.subarray(from, from + dim), k * dim);
        });
        found[i] = { data: vectors, spans: kept.map(({ start, end }) => ({ start: start - prefixPoints, end: end - prefixPoints })) };
      });
      return found;
    },
  };
}

export function namesOf(tokenizer: Tokenizer, json: Buffer): TokenNames {
  const { model, added_tokens: added = [] } = JSON.parse(json.toString('utf8')) as {
    readonly model: { readonly unk_token?: string };
    readonly added_tokens?: readonly { readonly content: string }[];
  };
  const { normalizer } = tokenizer;
  return {
    normalize: normalizer ? (text) => normalizer.normalize(text) : (text) => text,
    added: new Set(added.map(({ content }) => content).filter((content) => content !== model.unk_token)),
    unknown: model.unk_token,
  };
}

/** Cuts to a number of tokens and keeps the closing special token, as the trainer's tokenizer does. */
function truncated<T>(tokens: readonly T[], maxTokens: number): T[] {
  if (tokens.length <= maxTokens) return [...tokens];
  return [...tokens.slice(0, maxTokens - 1), tokens.at(-1) as T];
}
