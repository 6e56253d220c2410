import { numberOf, textsOf } from '../answering.ts';
import { type LoadAnswerer, textOf } from '../contract.ts';
import { loadLinearHead, sigmoid } from '../linear-head.ts';

/**
 * `{labels: [{label, score}..]}`: those at or above the model's threshold, falling by score; each label is a yes or no of its own.
 * answering.json: labels, threshold.
 */
export const loadAnswerer: LoadAnswerer = async (parts) => {
  const labels = textsOf(parts, 'labels');
  const head = await loadLinearHead(parts, 'classifier', labels.length);
  const threshold = numberOf(parts, 'threshold') ?? 0.5;
  return {
    bytes: head.bytes,
    answer: async (inputs, encoder) => {
      const embeddings = await encoder.embed(inputs.map((input) => textOf(input)));
      return embeddings.map((embedding) => {
        const scores = head.apply(embedding).map(sigmoid);
        // Equal scores keep the order of the labels, as the trainer does.
        const given = labels.map((label, i) => ({ label, score: scores[i] as number })).filter(({ score }) => score >= threshold);
        return { labels: given.sort((a, b) => b.score - a.score) };
      });
    },
  };
};
