import { type Answer, type Evaluation, textOf } from '../contract.ts';
import { LabelTally, macroF1, mean } from '../label-metrics.ts';

/** Labels of an example (texts) or of an answer (with scores). */
const labelsOf = ({ labels }: Answer): ReadonlySet<string> =>
  new Set(Array.isArray(labels) ? labels.map((item: unknown) => (typeof item === 'string' ? item : textOf(item as Answer, 'label'))) : []);

/** The right share of both sets together (Jaccard): 1 where neither has a label. */
export const evaluation: Evaluation = {
  credit: (expected, predicted) => {
    const [right, given] = [labelsOf(expected), labelsOf(predicted)];
    const all = right.union(given).size;
    return all === 0 ? 1 : right.intersection(given).size / all;
  },
  measure: (rows) => {
    const tally = new LabelTally();
    for (const { expected, predicted } of rows) {
      const right = labelsOf(expected);
      for (const label of right) tally.expected(label);
      for (const label of labelsOf(predicted)) tally.answered(label, right.has(label));
    }
    const { perLabel, micro } = tally;
    return {
      values: {
        microF1: micro.f1,
        microPrecision: micro.precision,
        microRecall: micro.recall,
        macroF1: macroF1(perLabel),
        exactMatch: mean(rows.map(({ expected, predicted }) => (evaluation.credit(expected, predicted) === 1 ? 1 : 0))),
      },
      perLabel,
    };
  },
  answerKey: (predicted) => JSON.stringify([...labelsOf(predicted)].sort()),
  /** Labels that are missing, and labels that are too many. */
  confusions: (expected, predicted) => {
    const [right, given] = [labelsOf(expected), labelsOf(predicted)];
    return [
      ...[...right.difference(given)].map((label) => [label, '-'] as const),
      ...[...given.difference(right)].map((label) => ['-', label] as const),
    ];
  },
  exampleProblem: (example) => {
    const { labels } = example;
    return Array.isArray(labels) && new Set(labels).size < labels.length ? { pointer: '/labels', message: 'repeats a label' } : null;
  },
};
