import { type Answer, type Evaluation, textOf } from '../contract.ts';
import { LabelTally, macroF1, mean } from '../label-metrics.ts';

/** The label, or that there is none: a text that is out of scope is answered with `inScope: false`, whatever label is nearest. */
const outOfScope = '(out of scope)';
const isOutOfScope = (answer: Answer): boolean => answer['inScope'] === false;
const labelOf = (answer: Answer): string => textOf(answer, 'label');

/**
 * A row is right or wrong: in scope by its label, out of scope by `inScope: false`. How many rows in scope are taken for others is told by a figure
 * of its own, `falselyOutOfScope`: their labels are answered all the same.
 */
export const evaluation: Evaluation = {
  credit: (expected, predicted) => {
    if (isOutOfScope(expected)) return isOutOfScope(predicted) ? 1 : 0;
    return labelOf(expected) === labelOf(predicted) ? 1 : 0;
  },
  measure: (rows) => {
    const tally = new LabelTally();
    for (const { expected, predicted } of rows) {
      const right = evaluation.credit(expected, predicted) === 1;
      tally.expected(labelOf(expected));
      // The label of what is out of scope is no label that a model answers with.
      tally.answered(isOutOfScope(expected) && right ? labelOf(expected) : labelOf(predicted), right);
    }
    const { perLabel } = tally;
    const credits = (some: typeof rows): number => mean(some.map(({ expected, predicted }) => evaluation.credit(expected, predicted)));
    const outside = rows.filter(({ expected }) => isOutOfScope(expected));
    const inside = rows.filter(({ expected }) => !isOutOfScope(expected));
    const scoped = rows.some(({ predicted }) => 'inScope' in predicted);
    return {
      values: {
        accuracy: credits(rows),
        macroF1: macroF1(perLabel),
        ...(scoped ? { falselyOutOfScope: mean(inside.map(({ predicted }) => (isOutOfScope(predicted) ? 1 : 0))) } : {}),
        ...(outside.length === 0 ? {} : { inScopeAccuracy: credits(inside), outOfScopeRecall: credits(outside) }),
      },
      perLabel,
    };
  },
  answerKey: (predicted) => (isOutOfScope(predicted) ? outOfScope : labelOf(predicted)),
  confusions: (expected, predicted) =>
    evaluation.credit(expected, predicted) === 1
      ? []
      : [[isOutOfScope(expected) ? outOfScope : labelOf(expected), isOutOfScope(predicted) ? outOfScope : labelOf(predicted)]],
};
