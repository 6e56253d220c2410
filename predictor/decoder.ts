import { Tensor } from './onnx-runtime.ts';
import type { SharedDecoder } from '../catalog/contract.ts';
import { nowMs } from '../platform/clock.ts';
import { Batcher } from './batcher.ts';
import { openGraph } from './graph.ts';
import { loadChatTokenizer } from './tokenizer/chat-tokenizer.ts';

export type Decoder = {
  /** As one tenant sees it. */
  readonly of: (tenantId: string) => SharedDecoder;
};

type Asked = Parameters<SharedDecoder['read']>[0];
type Read = Awaited<ReturnType<SharedDecoder['read']>>;

/** A causal language model: the tokenizer of its folder, and its ONNX graph, which takes the additions of a version as inputs. */
export async function loadDecoder(parts: {
  readonly onnxPath: string;
  readonly tokenizer: Buffer;
  readonly threads: number;
  /** Tokens that may wait for it, one a reply under way. */
  readonly maxWaiting: number;
}): Promise<Decoder> {
  const tokenizer = loadChatTokenizer(parts.tokenizer);
  const session = await openGraph(parts.onnxPath, 'f32', parts.threads);
  const shapeOf = (name: string): readonly (number | string)[] => {
    const found = [...session.inputMetadata, ...session.outputMetadata].find((value) => value.name === name);
    if (!found?.isTensor) throw new Error(`the graph has no ${name}: add the base model again`);
    return found.shape;
  };
  const [layers, both, heads, , headDim] = shapeOf('past').map(Number) as [number, number, number, number, number];
  const vocabulary = Number(shapeOf('logits')[1]);
  const run = async ({ ids, past, wanted, additions }: Asked): Promise<Read> => {
    const before = past?.tokens ?? 0;
    const places = (values: readonly number[]): Tensor => new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);
    const feeds: Record<string, Tensor> = {
      input_ids: places(ids),
      wanted: places(wanted),
      past: new Tensor('float32', past?.data ?? new Float32Array(), [layers, both, heads, before, headDim]),
    };
    for (const [name, { data, shape }] of Object.entries(additions)) feeds[name] = new Tensor('float32', data, shape);
    const { logits, present } = await session.run(feeds);
    return { logits: logits?.data as Float32Array, past: { tokens: before + ids.length, data: present?.data as Float32Array } };
  };
  // Versions add other numbers, so nothing goes through together; the tenants take turns, token by token.
  const turns = new Batcher<Asked, Asked, Read>({
    maxTokens: 1,
    maxWaiting: parts.maxWaiting,
    nowMs,
    roughly: () => 1,
    prepare: (asked) => asked,
    tokensOf: () => 1,
    run: async (asked) => await Promise.all(asked.map(run)),
  });
  return {
    of: (tenantId) => ({
      vocabulary,
      encode: tokenizer.encode,
      decode: tokenizer.decode,
      read: async (asked) => {
        const [read] = await turns.ask(tenantId, [asked]);
        return read as Read;
      },
    }),
  };
}
