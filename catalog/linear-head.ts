import type { ModelParts } from './contract.ts';

/** A linear layer on vectors of an encoder. */
export type LinearHead = {
  readonly bytes: number;
  readonly outputs: number;
  /** `outputs` numbers for the vector that starts at `offset`. */
  readonly apply: (vectors: Float32Array, offset?: number) => number[];
};

/** `NAME.weight` [outputs, dim] and `NAME.bias` [outputs]; fails where they do not fit each other or the encoder. */
export async function loadLinearHead(parts: ModelParts, name: string, outputs: number): Promise<LinearHead> {
  const { dim } = parts;
  const [weight, bias] = await Promise.all([parts.tensor(`${name}.weight`), parts.tensor(`${name}.bias`)]);
  if (weight.data.length !== outputs * dim || bias.data.length !== outputs)
    throw new Error(`the tensors ${name} do not fit ${outputs} outputs and ${dim} dimensions`);
  return {
    bytes: (weight.data.length + bias.data.length) * 4,
    outputs,
    apply: (vectors, offset = 0) =>
      Array.from(bias.data, (start, output) => {
        let sum = start;
        const row = output * dim;
        for (let i = 0; i < dim; i++) sum += (weight.data[row + i] as number) * (vectors[offset + i] as number);
        return sum;
      }),
  };
}

export function softmax(logits: readonly number[], temperature = 1): number[] {
  const highest = Math.max(...logits);
  const exps = logits.map((logit) => Math.exp((logit - highest) / temperature));
  const total = exps.reduce((sum, value) => sum + value, 0);
  return exps.map((value) => value / total);
}

export const sigmoid = (logit: number): number => 1 / (1 + Math.exp(-logit));
