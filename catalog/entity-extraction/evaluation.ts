import { type Answer, type Evaluation, textOf } from '../contract.ts';
import { LabelTally, macroF1, mean } from '../label-metrics.ts';

type Entity = { readonly start: number; readonly end: number; readonly label: string };

const numberOf = (value: unknown): number => (typeof value === 'number' ? value : Number.NaN);
const entitiesOf = ({ entities }: Answer): Entity[] =>
  Array.isArray(entities)
    ? entities.map((item: unknown) => {
        const { start, end } = item as Answer;
        return { start: numberOf(start), end: numberOf(end), label: textOf(item as Answer, 'label') };
      })
    : [];
const keyOf = ({ start, end, label }: Entity): string => `${start} ${end} ${label}`;
const keysOf = (answer: Answer): ReadonlySet<string> => new Set(entitiesOf(answer).map(keyOf));

/** An entity is right where both ends and the label are. A row's credit is its own F1; 1 where there is nothing to find and nothing was found. */
export const evaluation: Evaluation = {
  credit: (expected, predicted) => {
    const [right, given] = [keysOf(expected), keysOf(predicted)];
    const all = right.size + given.size;
    return all === 0 ? 1 : (2 * right.intersection(given).size) / all;
  },
  measure: (rows) => {
    const tally = new LabelTally();
    for (const { expected, predicted } of rows) {
      const right = keysOf(expected);
      for (const { label } of entitiesOf(expected)) tally.expected(label);
      for (const entity of entitiesOf(predicted)) tally.answered(entity.label, right.has(keyOf(entity)));
    }
    const { perLabel, micro } = tally;
    return {
      values: {
        entityF1: micro.f1,
        entityPrecision: micro.precision,
        entityRecall: micro.recall,
        macroF1: macroF1(perLabel),
        exactMatch: mean(rows.map(({ expected, predicted }) => (evaluation.credit(expected, predicted) === 1 ? 1 : 0))),
      },
      perLabel,
    };
  },
  answerKey: (predicted) => JSON.stringify([...keysOf(predicted)].sort()),
  confusions: (expected, predicted) => {
    const [right, given] = [keysOf(expected), keysOf(predicted)];
    const missed = entitiesOf(expected).filter((entity) => !given.has(keyOf(entity)));
    const wrong = entitiesOf(predicted).filter((entity) => !right.has(keyOf(entity)));
    const touching = (a: Entity, b: Entity): boolean => a.start < b.end && b.start < a.end;
    const taken = new Set<Entity>();
    return [
      // What lies over something that was missed was taken for it, or has other ends.
      ...missed.map((entity) => {
        const over = wrong.find((other) => touching(entity, other) && !taken.has(other));
        if (over) taken.add(over);
        return [entity.label, over ? (over.label === entity.label ? `${over.label} (other ends)` : over.label) : '-'] as const;
      }),
      ...wrong.filter((entity) => !taken.has(entity)).map((entity) => ['-', entity.label] as const),
    ];
  },
  exampleProblem: (example) => {
    const length = Array.from(textOf(example)).length;
    const entities = entitiesOf(example).sort((a, b) => a.start - b.start);
    for (const [i, { start, end }] of entities.entries()) {
      if (start >= end) return { pointer: '/entities', message: 'start must be before end' };
      if (end > length) return { pointer: '/entities', message: 'end lies outside of the text (offsets are Unicode code points)' };
      if (start < (entities[i - 1]?.end ?? 0)) return { pointer: '/entities', message: 'overlap' };
    }
    return null;
  },
};
