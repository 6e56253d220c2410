import { type InferenceSession, Tensor } from './onnx-runtime.ts';
import { cpuMicroseconds } from '../platform/cpu-time.ts';

/** Tokens of the text that graphs are timed with: a long sentence. What a graph costs does not depend on which tokens they are. */
export const timedTokens = 32;
/** Of each graph, in turns: what else the machine does meets all of them alike. */
const passes = 9;

/** CPU milliseconds of one pass of each graph with one text: medians, so that one slow pass says nothing. Nothing else runs while a pass does. */
export async function passCpuMs(graphs: readonly InferenceSession[]): Promise<number[]> {
  const shape = [1, timedTokens];
  const tokens = BigInt64Array.from({ length: timedTokens }, (_, i) => BigInt(1 + (i % 3)));
  const feeds = {
    input_ids: new Tensor('int64', tokens, shape),
    attention_mask: new Tensor('int64', new BigInt64Array(timedTokens).fill(1n), shape),
  };
  const timed = graphs.map((): number[] => []);
  // The first turn is not counted: it reserves memory.
  for (let turn = 0; turn <= passes; turn++)
    for (const [at, graph] of graphs.entries()) {
      const from = cpuMicroseconds();
      await graph.run(feeds, ['sentence_embedding']);
      if (turn > 0) timed[at]?.push((cpuMicroseconds() - from) / 1_000);
    }
  return timed.map((times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0);
}
