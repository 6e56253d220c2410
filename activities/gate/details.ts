import type { Answer } from '../../catalog/contract.ts';
import type { GateDetails } from '../../core/model.ts';
import { measureAnswers } from './answers-file.ts';
import { type Evidence, type Judged, type Judging, goldenLost } from './verdict.ts';

/** Entries of each list. */
const maxListed = 500;

const scoreOf = ({ score }: Answer): number | null => (typeof score === 'number' ? score : null);

/** What operators want to see of a judgement: labels, ids and figures. Pure: equal rows give equal details. */
export function gateDetails(rows: readonly Judged[], model: Judging, currentVersion: number | null, evidence?: Evidence): GateDetails {
  const { metric, evaluation } = model;
  const rated = rows.map((row) => ({
    id: row.id,
    candidate: evaluation.credit(row.expected, row.predicted),
    current: row.current === null ? 0 : evaluation.credit(row.expected, row.current),
    score: scoreOf(row.predicted),
    changed: row.current !== null && evaluation.answerKey(row.predicted) !== evaluation.answerKey(row.current),
  }));
  const confusions = new Map<string, { expected: string; predicted: string; rows: number }>();
  for (const { expected, predicted } of rows) {
    for (const [right, given] of evaluation.confusions?.(expected, predicted) ?? []) {
      const key = JSON.stringify([right, given]);
      const entry = confusions.get(key) ?? { expected: right, predicted: given, rows: 0 };
      entry.rows += 1;
      confusions.set(key, entry);
    }
  }
  const byId = (a: { readonly id: string }, b: { readonly id: string }): number => (a.id < b.id ? -1 : 1);
  return {
    format: 'modelwright-gate/1',
    metric,
    candidate: measureAnswers(model, rows),
    current:
      currentVersion === null
        ? null
        : measureAnswers(
            model,
            rows.map(({ expected, current }) => ({ expected, predicted: current ?? {} })),
          ),
    currentVersion,
    confusions: [...confusions.values()]
      .sort((a, b) => b.rows - a.rows || (`${a.expected}\0${a.predicted}` < `${b.expected}\0${b.predicted}` ? -1 : 1))
      .slice(0, maxListed),
    worstErrors: rated
      .filter(({ candidate }) => candidate < 1)
      .sort((a, b) => a.candidate - b.candidate || (b.score ?? 0) - (a.score ?? 0) || byId(a, b))
      .slice(0, maxListed)
      .map(({ id, candidate, score }) => ({ id, credit: candidate, score })),
    changed: rated
      .filter(({ changed }) => changed)
      .sort((a, b) => a.candidate - a.current - (b.candidate - b.current) || byId(a, b))
      .slice(0, maxListed)
      .map(({ id, candidate, current }) => ({ id, candidate, current })),
    ...(evidence ? { data: evidence.data, goldenLost: goldenLost(rows, model, evidence.golden).slice(0, maxListed) } : {}),
    ...(evidence?.latency ? { latency: evidence.latency } : {}),
  };
}
