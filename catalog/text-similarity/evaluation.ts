import { type Answer, type Evaluation, textOf } from '../contract.ts';
import { LabelTally, mean } from '../label-metrics.ts';

const rightOf = (expected: Answer): string => textOf(expected, 'answerId');
const listOf = ({ answers }: Answer): string[] =>
  Array.isArray(answers) ? answers.map((item: unknown) => textOf(item as Answer, 'answerId')) : [];
/** The best answer; '' for none that is near enough. */
const bestOf = (predicted: Answer): string => listOf(predicted)[0] ?? '';

/** A row is right where its answer comes first. */
export const evaluation: Evaluation = {
  credit: (expected, predicted) => (rightOf(expected) === bestOf(predicted) ? 1 : 0),
  measure: (rows) => {
    const tally = new LabelTally();
    const reciprocals: number[] = [];
    for (const { expected, predicted } of rows) {
      const right = rightOf(expected);
      tally.expected(right);
      tally.answered(bestOf(predicted), bestOf(predicted) === right);
      const rank = listOf(predicted).indexOf(right);
      reciprocals.push(rank < 0 ? 0 : 1 / (rank + 1));
    }
    const answered = rows.filter(({ predicted }) => bestOf(predicted) !== '');
    const credits = (some: typeof rows): number => mean(some.map(({ expected, predicted }) => evaluation.credit(expected, predicted)));
    return {
      values: {
        accuracy: credits(rows),
        mrr: mean(reciprocals),
        answered: rows.length === 0 ? 0 : answered.length / rows.length,
        accuracyOfAnswered: credits(answered),
      },
      perLabel: tally.perLabel,
    };
  },
  answerKey: bestOf,
  confusions: (expected, predicted) => {
    const [right, given] = [rightOf(expected), bestOf(predicted)];
    return right === given ? [] : [[right, given === '' ? '-' : given]];
  },
};
