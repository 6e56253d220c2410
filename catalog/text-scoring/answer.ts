import { numberOf } from '../answering.ts';
import { type LoadAnswerer, textOf } from '../contract.ts';
import { loadLinearHead } from '../linear-head.ts';

/** `{score}`. answering.json: mean and scale of the learned scores, and their minimum and maximum: nothing outside of them is answered. */
export const loadAnswerer: LoadAnswerer = async (parts) => {
  const head = await loadLinearHead(parts, 'regressor', 1);
  const [mean, scale] = [numberOf(parts, 'mean') ?? 0, numberOf(parts, 'scale') ?? 1];
  const [minimum, maximum] = [numberOf(parts, 'minimum') ?? -Infinity, numberOf(parts, 'maximum') ?? Infinity];
  return {
    bytes: head.bytes,
    answer: async (inputs, encoder) => {
      const embeddings = await encoder.embed(inputs.map((input) => textOf(input)));
      return embeddings.map((embedding) => ({
        score: Math.min(maximum, Math.max(minimum, mean + scale * (head.apply(embedding)[0] as number))),
      }));
    },
  };
};
