import type { BusinessModel } from '../../catalog/catalog.ts';
import { measured } from '../../core/metrics.ts';
import type { GateDataFacts, GateLatency, GateVerdict } from '../../core/model.ts';
import { type AnswerLine, measureAnswers, worstLabels } from './answers-file.ts';
import type { Answer } from '../../catalog/contract.ts';
import { dataProblems, namedLabels } from './data-problems.ts';
import { pairedTest } from './paired-test.ts';

/** One evaluation row: what is right, the candidate's answer, and production's where there is one. */
export type Judged = AnswerLine & { readonly current: Answer | null };
/** What a business model is judged by. */
export type Judging = Pick<BusinessModel, 'id' | 'metric' | 'metricUnit' | 'gate' | 'evaluation'>;

/** What the gate knows beside the answers. */
export type Evidence = {
  readonly data: GateDataFacts;
  /** Ids of examples that must stay right. */
  readonly golden: ReadonlySet<string>;
  /** Size of the candidate's weights and of an encoder of its own. */
  readonly modelBytes: number;
  /** Of an encoder of its own; absent where it is the shared one, or could not be timed. */
  readonly latency?: GateLatency | null;
  /** What production reached when it was published, and on how many rows; null: there is none, or its metric was another. */
  readonly published: { readonly value: number; readonly rows: number } | null;
};

/** A label with fewer evaluation rows than this says nothing about its recall. */
const minimumLabelRows = 5;
/** Ids and labels that an explanation names. */
const maxNamed = 3;
/** Standard errors that a fall below the published figure must have: no chance of rows that were drawn anew. */
const certainErrors = 2.5;

/** What production answers; nothing at all where it gave no answer. */
const currentOf = ({ current }: Judged): Answer => current ?? {};

/**
 * Candidate against production on the same rows, and what the rows themselves say: a candidate that would pass is held where its rows cannot be
 * trusted, a golden example is lost, or it is too large or too slow. Pure: equal rows and evidence give an equal verdict.
 */
export function judge(rows: readonly Judged[], model: Judging, currentVersion: number | null, evidence?: Evidence): GateVerdict {
  const verdict = judgeAnswers(rows, model, currentVersion);
  if (!evidence) return verdict;
  const problems = [
    ...dataProblems(evidence.data, model.gate),
    ...fallen(verdict, model, evidence.published),
    ...goldenProblem(goldenLost(rows, model, evidence.golden)),
    ...sizeProblem(evidence.modelBytes, model.gate.maximumModelBytes),
    ...latencyProblem(evidence.latency ?? null, model.gate, currentVersion),
  ];
  if (problems.length === 0) return verdict;
  const said = `${verdict.explanation}${verdict.verdict === 'promote' ? ', but ' : '; '}${problems.join('; ')}`;
  return { ...verdict, verdict: verdict.verdict === 'promote' ? 'hold' : verdict.verdict, explanation: said };
}

/** Golden examples that the candidate answers wrong, besides those that production does not get right either. */
export const goldenLost = (rows: readonly Judged[], { evaluation }: Judging, golden: ReadonlySet<string>): string[] =>
  rows
    .filter(
      ({ id, expected, predicted, current }) =>
        golden.has(id) &&
        evaluation.credit(expected, predicted) < 1 &&
        (current === null || evaluation.credit(expected, current) > evaluation.credit(expected, predicted)),
    )
    .map(({ id }) => id)
    .sort();

function goldenProblem(lost: readonly string[]): string[] {
  if (lost.length === 0) return [];
  const more = lost.length > maxNamed ? ` and ${lost.length - maxNamed} more` : '';
  return [
    `golden example${lost.length === 1 ? '' : 's'} ${lost.slice(0, maxNamed).join(', ')}${more} must be right and ${lost.length === 1 ? 'is' : 'are'} answered wrong`,
  ];
}

function sizeProblem(bytes: number, most: number): string[] {
  return bytes > most ? [`the model has ${bytes} bytes, more than the ${most} that a version of this business model may have`] : [];
}

function latencyProblem(latency: GateLatency | null, gate: Judging['gate'], currentVersion: number | null): string[] {
  if (latency === null) return [];
  const { tokens, candidateMs, currentMs } = latency;
  const ms = (value: number): string => `${value.toPrecision(3)} ms`;
  const takes = `a text of ${tokens} tokens takes ${ms(candidateMs)} of CPU time`;
  if (candidateMs > gate.maximumLatencyMs) return [`${takes}, more than the ${ms(gate.maximumLatencyMs)} that it may`];
  if (currentMs === null || candidateMs <= currentMs * gate.maximumSlowdown) return [];
  return [`${takes}, ${(candidateMs / currentMs).toFixed(1)} times the ${ms(currentMs)} of v${currentVersion}`];
}

/** Rows that nobody answers well, where production once did: their answers may be wrong. */
function fallen(
  { candidate, testRows, currentVersion, labels }: GateVerdict,
  { gate, metric, metricUnit }: Judging,
  published: Evidence['published'],
): string[] {
  if (published === null || metricUnit !== 'share' || testRows < gate.minimumTestRows || published.rows === 0) return [];
  const pooled = (candidate * testRows + published.value * published.rows) / (testRows + published.rows);
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / testRows + 1 / published.rows));
  const fall = published.value - candidate;
  if (fall <= gate.maximumFall || fall <= certainErrors * error) return [];
  const worst = Object.entries(labels)
    .filter(([, { candidate: recall, support }]) => support >= minimumLabelRows && recall < published.value)
    .sort((a, b) => a[1].candidate - b[1].candidate || (a[0] < b[0] ? -1 : 1));
  const named =
    worst.length === 0 ? '' : `, worst at label ${namedLabels(worst, (of) => `${measured(of.candidate, 'share')} of ${of.support}`)}`;
  return [
    `v${currentVersion} was published with ${metric} ${measured(published.value, 'share')} on the rows of its time${named}: answers of new rows may be wrong`,
  ];
}

/** Candidate against production by their answers alone. */
function judgeAnswers(rows: readonly Judged[], model: Judging, currentVersion: number | null): GateVerdict {
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
  const sunk = Object.entries(labels).filter(([, { candidate: recall, current: before, support }]) => {
    if (support < minimumLabelRows) return false;
    if (recall < gate.labelFloor && (before === null || before > recall)) return true;
    // One that is still recognised now and then, but far less often.
    const lostRows = Math.round(((before ?? 0) - recall) * support);
    return before !== null && recall < before * (1 - gate.labelDrop) && lostRows >= minimumLabelRows;
  });
  if (sunk.length > 0) {
    const named = namedLabels(sunk, ({ candidate: recall, current: before, support }) => {
      const was = before === null ? '' : `, ${measured(before, 'share')} by v${currentVersion}`;
      return `${measured(recall, 'share')} of ${support}${was}`;
    });
    return conclude('hold', `${reached}, but too few rows of label ${named} are recognised`);
  }
  // A row or two of few say nothing: a verdict that chance decides would hold every other good candidate of a small customization.
  if (current !== null && candidate < current - gate.margin && pairedP !== null && pairedP < gate.doubt) {
    const p = ` (p = ${pairedP.toPrecision(2)})`;
    return pairedP < gate.significance
      ? conclude('reject', `${reached}${against}: worse by more than the margin, and not by chance${p}`)
      : conclude('hold', `${reached}${against}: worse by more than the margin, though that may be chance${p}`);
  }
  return conclude('promote', `${reached}${against}`);
}
