import { Tensor } from './onnx-runtime.ts';
import type { TokenEmbeddings } from '../catalog/contract.ts';
import { nowMs } from '../platform/clock.ts';
import { Batcher } from './batcher.ts';
import { type EncoderPrecision, openGraph } from './graph.ts';
import { type Encoded, loadTokenizer } from './tokenizer/text-tokenizer.ts';

/**
 * Tokens of one batch: how long another tenant's text waits. Measured with 300 texts on two cores: batches twice as large take 7 % less time in all,
 * batches half as large 8 % more. The longest text of the shipped encoders is as long.
 */
const maxBatchTokens = 512;

export type Encoder = {
  readonly bytes: number;
  /** One embedding a text, of length 1, in the order of the texts. Tenants that ask at the same time are answered together, in turns. */
  embed(texts: readonly string[], maxTokens: number, tenantId?: string): Promise<Float32Array[]>;
  /** The last hidden state of each token of each text, in the order of the texts; not of special tokens, nor of the encoder's prefix. */
  embedTokens(texts: readonly string[], maxTokens: number, tenantId?: string): Promise<TokenEmbeddings[]>;
};

type Asked = { readonly text: string; readonly maxTokens: number; readonly output: 'sentence_embedding' | 'token_embeddings' };
type Prepared = { readonly encoded: Encoded; readonly output: Asked['output'] };
/** One of the two, as it was asked. */
type Answer = { readonly sentence: Float32Array } | { readonly tokens: TokenEmbeddings };

/** A sentence encoder: the tokenizer of its folder, and its ONNX graph with mean pooling in it. Shared by all models that start from it. */
export async function loadEncoder(parts: {
  readonly onnxPath: string;
  readonly tokenizer: Buffer;
  readonly bytes: number;
  readonly threads: number;
  readonly prefix: string;
  readonly dim: number;
  readonly precision?: EncoderPrecision;
  /** Texts that may wait for it; `Infinity` where one caller asks in its own time. */
  readonly maxWaiting?: number;
  /** Told of each pass: how many texts went through together. */
  readonly onPass?: (texts: number) => void;
}): Promise<Encoder> {
  const { onnxPath, tokenizer: json, bytes, threads, prefix, dim, precision = 'f32', maxWaiting = Infinity, onPass } = parts;
  const tokenizer = loadTokenizer(json);
  const session = await openGraph(onnxPath, precision, threads);
  const prefixChars = Array.from(prefix).length;
  const tokensAt = ({ offsets }: Encoded, states: Float32Array, row: number, width: number): TokenEmbeddings => {
    const kept = offsets.flatMap(([begin, end], token) => (end > prefixChars ? [{ begin, end, token }] : []));
    const data = new Float32Array(kept.length * dim);
    kept.forEach(({ token }, at) => {
      const from = (row * width + token) * dim;
      data.set(states.subarray(from, from + dim), at * dim);
    });
    return { data, spans: kept.map(({ begin, end }) => ({ start: Math.max(0, begin - prefixChars), end: end - prefixChars })) };
  };
  const run = async (rows: readonly Prepared[]): Promise<Answer[]> => {
    const width = rows.at(-1)?.encoded.ids.length ?? 0;
    const ids = new BigInt64Array(rows.length * width);
    const mask = new BigInt64Array(rows.length * width);
    rows.forEach(({ encoded }, row) => {
      encoded.ids.forEach((token, i) => {
        ids[row * width + i] = BigInt(token);
        mask[row * width + i] = 1n;
      });
    });
    const shape = [rows.length, width];
    const feeds = { input_ids: new Tensor('int64', ids, shape), attention_mask: new Tensor('int64', mask, shape) };
    // Only what is fetched is copied out of the session.
    const fetched = await session.run(feeds, [...new Set(rows.map(({ output }) => output))]);
    onPass?.(rows.length);
    return rows.map(({ encoded, output }, row) => {
      const data = fetched[output]?.data as Float32Array;
      if (output === 'token_embeddings') return { tokens: tokensAt(encoded, data, row, width) };
      return { sentence: data.slice(row * dim, (row + 1) * dim) };
    });
  };
  const batcher = new Batcher<Asked, Prepared, Answer>({
    maxTokens: maxBatchTokens,
    maxWaiting,
    nowMs,
    roughly: ({ text }) => text.length,
    prepare: ({ text, maxTokens, output }) => ({ encoded: tokenizer.encode(`${prefix}${text}`, maxTokens), output }),
    tokensOf: ({ encoded }) => encoded.ids.length,
    run,
  });
  const ask = (texts: readonly string[], maxTokens: number, output: Asked['output'], tenantId: string): Promise<Answer[]> =>
    batcher.ask(
      tenantId,
      texts.map((text) => ({ text, maxTokens, output })),
    );
  return {
    bytes,
    embed: async (texts, maxTokens, tenantId = '') =>
      (await ask(texts, maxTokens, 'sentence_embedding', tenantId)).flatMap((answer) => ('sentence' in answer ? [answer.sentence] : [])),
    embedTokens: async (texts, maxTokens, tenantId = '') => {
      if (!session.outputNames.includes('token_embeddings'))
        throw new Error("the encoder's graph has no output token_embeddings: provision the base encoders again with `./mw up`");
      return (await ask(texts, maxTokens, 'token_embeddings', tenantId)).flatMap((answer) => ('tokens' in answer ? [answer.tokens] : []));
    },
  };
}
