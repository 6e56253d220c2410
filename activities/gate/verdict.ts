import type { BusinessModel } from '../../catalog/catalog.ts';
import { measured } from '../../core/metrics.ts';
import type { GateVerdict } from '../../core/model.ts';
import { type AnswerLine, measureAnswers, worstLabels } from './answers-file.ts';
import type { Answer } from '../../catalog/contract.ts';
import { pairedTest } from './paired-test.ts';

/** One evaluation row: what is right, the candidate's answer, and production's where there is one. */
export type Judged = AnswerLine & { readonly current: Answer | null };
/** What a business model is judged by. */
export type Judging = Pick<BusinessModel, 'id' | 'metric' | 'metricUnit' | 'gate' | 'evaluation'>;

/** A label with fewer evaluation rows than this says nothing about its recall. */
const minimumLabelRows = 5;
/** Labels that an explanation names. */
const maxNamed = 3;

/** What production answers; nothing at all where it gave no answer. */
const currentOf = ({ current }: Judged): Answer => current ?? {};

/** Candidate against production on the same rows. Pure: equal rows give an equal verdict. */
export function judge(rows: readonly Judged[], model: Judging, currentVersion: number | null): GateVerdict {
  const { gate, metric, metricUnit, evaluation } = model;
  const figure = (value: number): string => measured(value, metricUnit);
  const own = measureAnswers(model, rows);
  const other =
    currentVersion === null
      ? null
      : measureAnswers(
          model,
          rows.map((row) => ({ expected: row.expected, predicted: currentOf(row) })),
        );
  const candidate = own.values[metric] ?? 0;
  const current = other === null ? null : (other.values[metric] ?? 0);
  const labels = Object.fromEntries(
    Object.entries(own.perLabel).map(([label, { recall, support }]) => [
      label,
      { candidate: recall, current: other === null ? null : (other.perLabel[label]?.recall ?? 0), support },
    ]),
  );
  const credits = rows.map((row) => ({
    candidate: evaluation.credit(row.expected, row.predicted),
    current: evaluation.credit(row.expected, currentOf(row)),
  }));
  const pairedP = currentVersion === null ? null : pairedTest(credits);
  const facts = {
    metric,
    candidate,
    current,
    currentVersion,
    pairedP,
    testRows: rows.length,
    changedPredictions:
      currentVersion === null
        ? 0
        : rows.filter((row) => evaluation.answerKey(row.predicted) !== evaluation.answerKey(currentOf(row))).length,
    labels: worstLabels(labels, (label) => label.candidate),
  };
  const conclude = (verdict: GateVerdict['verdict'], explanation: string): GateVerdict => ({ verdict, explanation, ...facts });
  const reached = `${metric} ${figure(candidate)} on ${rows.length} evaluation rows`;
  const against = current === null ? '' : `, v${currentVersion} reaches ${figure(current)} on the same rows`;

  if (rows.length < gate.minimumTestRows) {
    const few = `only ${rows.length} evaluation rows, fewer than the ${gate.minimumTestRows} that a judgement needs`;
    if (current === null) return conclude('promote', `${few}: promoted as the first version, unjudged`);
    return candidate >= current
      ? conclude('promote', `${few}: not worse than v${currentVersion} on those`)
      : conclude('hold', `${few}, and worse than v${currentVersion} on those`);
  }
  if (candidate < gate.minimumMetric)
    return conclude('reject', `${reached} is below the minimum of ${figure(gate.minimumMetric)}${against}`);
  const sunk = Object.entries(labels).filter(
    ([, { candidate: recall, current: before, support }]) =>
      support >= minimumLabelRows && recall < gate.labelFloor && (before === null || before > recall),
  );
  if (sunk.length > 0) {
    const named = sunk
      .slice(0, maxNamed)
      .map(([label, { candidate: recall, support }]) => `"${label}" (${measured(recall, 'share')} of ${support})`);
    const more = sunk.length > maxNamed ? ` and ${sunk.length - maxNamed} more` : '';
    return conclude('hold', `${reached}, but hardly any row of label ${named.join(', ')}${more} is recognised`);
  }
  if (current !== null && candidate < current - gate.margin) {
    const p = pairedP === null ? '' : ` (p = ${pairedP.toPrecision(2)})`;
    return pairedP !== null && pairedP < gate.significance
      ? conclude('reject', `${reached}${against}: worse by more than the margin, and not by chance${p}`)
      : conclude('hold', `${reached}${against}: worse by more than the margin, though that may be chance${p}`);
  }
  return conclude('promote', `${reached}${against}`);
}
