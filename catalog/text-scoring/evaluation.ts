import type { Answer, EvaluatedRow, Evaluation } from '../contract.ts';
import { mean } from '../label-metrics.ts';

const scoreOf = ({ score }: Answer): number => (typeof score === 'number' && Number.isFinite(score) ? score : 0);

/** Correlation of two lists; 0 where one of them does not vary. */
export function pearson(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [mean(a), mean(b)];
  let [both, squaresA, squaresB] = [0, 0, 0];
  a.forEach((value, i) => {
    const [fromA, fromB] = [value - meanA, (b[i] ?? 0) - meanB];
    both += fromA * fromB;
    squaresA += fromA * fromA;
    squaresB += fromB * fromB;
  });
  return squaresA === 0 || squaresB === 0 ? 0 : both / Math.sqrt(squaresA * squaresB);
}

/** Ranks from 1; equal values share the mean of theirs. */
function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number));
  const found = Array.from(values, () => 0);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1] as number] === values[order[from] as number]) to++;
    for (let i = from; i <= to; i++) found[order[i] as number] = (from + to) / 2 + 1;
    from = to + 1;
  }
  return found;
}

/** A row's credit falls with its error: 1 for none, 1/2 where the error is 1. */
export const evaluation: Evaluation = {
  credit: (expected, predicted) => 1 / (1 + Math.abs(scoreOf(expected) - scoreOf(predicted))),
  measure: (rows) => {
    const sides = (of: (row: EvaluatedRow) => Answer): number[] => rows.map((row) => scoreOf(of(row)));
    const [right, given] = [sides(({ expected }) => expected), sides(({ predicted }) => predicted)];
    const errors = right.map((value, i) => Math.abs(value - (given[i] ?? 0)));
    return {
      values: {
        pearson: pearson(right, given),
        spearman: pearson(ranks(right), ranks(given)),
        meanAbsoluteError: mean(errors),
        rootMeanSquaredError: Math.sqrt(mean(errors.map((error) => error * error))),
      },
      perLabel: {},
    };
  },
  // What differs in the third digit is no other answer.
  answerKey: (predicted) => scoreOf(predicted).toFixed(2),
};
