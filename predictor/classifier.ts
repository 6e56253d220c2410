import type { ModelManifest } from '../core/model.ts';
import type { Prediction } from '../platform/predictor-client.ts';
import { parseSafetensors, tensorBytes } from '../store/safetensors.ts';
import type { ModelStore } from './model-store.ts';

/** The linear head of a text classifier: one weight row and one bias a label. */
export type Classifier = {
  readonly bytes: number;
  readonly labels: readonly string[];
  /** Labels by falling probability, `topK` of them. */
  classify(embedding: Float32Array, topK: number): Prediction;
};

export async function loadClassifier(store: ModelStore, manifest: ModelManifest): Promise<Classifier> {
  const tensor = async (name: string): Promise<Float32Array> => {
    const info = manifest.tensors[name];
    const shard = manifest.shards.find(({ sha256 }) => sha256 === info?.shard);
    if (!info || !shard) throw new Error(`the manifest of v${manifest.version} has no tensor ${name}`);
    const bytes = await store.bytes(shard);
    const parsed = parseSafetensors(bytes);
    const found = parsed.tensors.get(name);
    if (found?.dtype !== 'F32') throw new Error(`tensor ${name} of v${manifest.version} is ${found?.dtype ?? 'missing'}, not F32`);
    const raw = tensorBytes(bytes, parsed, found);
    // A copy of its own: aligned, and the shard's bytes can go.
    return new Float32Array(new Uint8Array(raw).buffer);
  };
  const [weight, bias] = await Promise.all([tensor('classifier.weight'), tensor('classifier.bias')]);
  const { labels } = manifest;
  const { dim } = manifest.encoder;
  if (weight.length !== labels.length * dim || bias.length !== labels.length)
    throw new Error(`the head of v${manifest.version} does not fit its ${labels.length} labels and ${dim} dimensions`);
  return {
    bytes: (weight.length + bias.length) * 4,
    labels,
    classify: (embedding, topK) => {
      const logits = labels.map((_, label) => {
        let sum = bias[label] ?? 0;
        const row = label * dim;
        for (let i = 0; i < dim; i++) sum += (weight[row + i] as number) * (embedding[i] as number);
        return sum;
      });
      const highest = Math.max(...logits);
      const exps = logits.map((logit) => Math.exp(logit - highest));
      const total = exps.reduce((sum, value) => sum + value, 0);
      // Equal scores keep the order of the labels, as the trainer's argmax does.
      const ranked = labels
        .map((label, i) => ({ label, score: (exps[i] as number) / total }))
        .sort((a, b) => b.score - a.score)
        .slice(0, Math.max(1, topK));
      const [best] = ranked;
      if (!best) throw new Error(`v${manifest.version} has no labels`);
      return { ...best, labels: ranked };
    },
  };
}
