import { InferenceSession } from './onnx-runtime.ts';
import { quantizedFile } from './int8/quantized-file.ts';

/** What matrix products are computed in. */
export type EncoderPrecision = 'f32' | 'int8';

/** The graph of an encoder, ready to run. */
export async function openGraph(onnxPath: string, precision: EncoderPrecision, threads: number): Promise<InferenceSession> {
  const options = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    // Threads that wait for work would burn a core each while they do: measured, half of the CPU time of a text, and more on a busy machine.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  } as const;
  return precision === 'int8'
    ? await InferenceSession.create(await quantizedFile(onnxPath), options)
    : await InferenceSession.create(onnxPath, options);
}
