import type { Answer, EvaluatedRow } from '../../catalog/contract.ts';
import type { BusinessModel } from '../../catalog/catalog.ts';
import type { TrainingMetrics } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { failure } from '../failure.ts';

/** A line of eval.jsonl: what the trained model answers to a row of the evaluation side. Never its text. */
export type AnswerLine = EvaluatedRow & { readonly id: string };

const isAnswer = (value: unknown): value is Answer => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The answers that a training left. */
export async function readAnswers(store: ObjectStore, files: Readonly<Record<string, ObjectRef>>): Promise<AnswerLine[]> {
  const file = files['eval.jsonl'];
  if (!file) throw failure('TrainingFailed', 'the trainer left no eval.jsonl: its log says why');
  const lines = Buffer.from(await store.read(file))
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line, i) => {
    const { id, expected, predicted } = JSON.parse(line) as { id?: unknown; expected?: unknown; predicted?: unknown };
    if (typeof id !== 'string' || !isAnswer(expected) || !isAnswer(predicted))
      throw failure(
        'TrainingFailed',
        `line ${i + 1} of eval.jsonl has no id, expected and predicted: the trainer of this business model is wrong`,
      );
    return { id, expected, predicted };
  });
}

/** Labels that travel with metrics and verdicts; all of them are in the details that the gate stores. */
const maxLabels = 200;

/** The labels with the lowest figures, in the order of their names. */
export const worstLabels = <T>(labels: Readonly<Record<string, T>>, figure: (of: T) => number): Readonly<Record<string, T>> => {
  const all = Object.entries(labels);
  const byName = ([a]: readonly [string, T], [b]: readonly [string, T]): number => (a < b ? -1 : 1);
  return Object.fromEntries(
    [...all]
      .sort((a, b) => figure(a[1]) - figure(b[1]) || byName(a, b))
      .slice(0, maxLabels)
      .sort(byName),
  );
};

/** How good the answers are, by the business model's own evaluation. */
export function measureAnswers(
  model: Pick<BusinessModel, 'id' | 'metric' | 'metricUnit' | 'evaluation'>,
  rows: readonly EvaluatedRow[],
): Omit<TrainingMetrics, 'rows'> {
  const { id, metric, metricUnit, evaluation } = model;
  const { values, perLabel } = evaluation.measure(rows);
  const wrong = [metric, ...Object.keys(values)].find((name) => !Number.isFinite(values[name]));
  if (wrong !== undefined)
    throw failure('TrainingFailed', `the evaluation of ${id} gives no finite ${wrong}: its evaluation.ts, or an answer, is wrong`);
  return { metric, unit: metricUnit, values, perLabel };
}
