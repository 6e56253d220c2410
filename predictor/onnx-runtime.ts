// oxlint-disable-next-line import/no-unassigned-import -- what it does must be done first
import '../platform/no-telemetry.ts';

/** The only way to ONNX Runtime: loaded after it was told to tell nobody. */
export { InferenceSession, Tensor } from 'onnxruntime-node';
