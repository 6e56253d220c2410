import { numberOf, textsOf } from '../answering.ts';
import { type LoadAnswerer, textOf } from '../contract.ts';
import { loadLinearHead, softmax } from '../linear-head.ts';

/**
 * `{label, score, labels: [{label, score}..topK]}`, and `inScope` where the model has a threshold: whether the text is one of the kind that was learned.
 * answering.json: labels, and optionally `temperature` (of the calibrated scores) and `threshold` (of being in scope).
 */
export const loadAnswerer: LoadAnswerer = async (parts) => {
  const labels = textsOf(parts, 'labels');
  const head = await loadLinearHead(parts, 'classifier', labels.length);
  const temperature = numberOf(parts, 'temperature') ?? 1;
  const threshold = numberOf(parts, 'threshold');
  return {
    bytes: head.bytes,
    answer: async (inputs, encoder, { topK }) => {
      const embeddings = await encoder.embed(inputs.map((input) => textOf(input)));
      return embeddings.map((embedding) => {
        const scores = softmax(head.apply(embedding), temperature);
        // Equal scores keep the order of the labels, as the trainer's argmax does.
        const ranked = labels
          .map((label, i) => ({ label, score: scores[i] as number }))
          .sort((a, b) => b.score - a.score)
          .slice(0, Math.max(1, topK));
        const [best] = ranked;
        if (!best) throw new Error('the model has no labels');
        return { ...best, labels: ranked, ...(threshold === null ? {} : { inScope: best.score >= threshold }) };
      });
    },
  };
};
