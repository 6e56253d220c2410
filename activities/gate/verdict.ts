import type { BusinessModel } from '../../catalog/catalog.ts';
import type { GateVerdict } from '../../core/model.ts';
import { mcNemar } from './paired-test.ts';

/** One evaluation row: the right label, the candidate's answer, and production's where there is one. */
export type Judged = { readonly label: string; readonly candidate: string; readonly current: string | null };

/** A label with fewer evaluation rows than this says nothing about its recall. */
const minimumLabelRows = 5;
/** Labels that an explanation names. */
const maxNamed = 3;

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const share = (rows: readonly Judged[], right: (row: Judged) => boolean): number =>
  rows.length === 0 ? 0 : rows.filter(right).length / rows.length;

/** Candidate against production on the same rows. Pure: equal rows give an equal verdict. */
export function judge(rows: readonly Judged[], gate: BusinessModel['gate'], metric: string, currentVersion: number | null): GateVerdict {
  const byCandidate = ({ label, candidate }: Judged): boolean => candidate === label;
  const byCurrent = ({ label, current }: Judged): boolean => current === label;
  const candidate = share(rows, byCandidate);
  const current = currentVersion === null ? null : share(rows, byCurrent);
  const labels = Object.fromEntries(
    [...Map.groupBy(rows, ({ label }) => label)]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([label, of]) => [
        label,
        { candidate: share(of, byCandidate), current: currentVersion === null ? null : share(of, byCurrent), support: of.length },
      ]),
  );
  const pairedP =
    currentVersion === null
      ? null
      : mcNemar(
          rows.filter((row) => byCandidate(row) && !byCurrent(row)).length,
          rows.filter((row) => byCurrent(row) && !byCandidate(row)).length,
        );
  const facts = {
    metric,
    candidate,
    current,
    currentVersion,
    pairedP,
    testRows: rows.length,
    changedPredictions: currentVersion === null ? 0 : rows.filter((row) => row.candidate !== row.current).length,
    labels,
  };
  const conclude = (verdict: GateVerdict['verdict'], explanation: string): GateVerdict => ({ verdict, explanation, ...facts });
  const measured = `${metric} ${percent(candidate)} on ${rows.length} evaluation rows`;
  const against = current === null ? '' : `, v${currentVersion} reaches ${percent(current)} on the same rows`;

  if (rows.length < gate.minimumTestRows) {
    const few = `only ${rows.length} evaluation rows, fewer than the ${gate.minimumTestRows} that a judgement needs`;
    if (current === null) return conclude('promote', `${few}: promoted as the first version, unjudged`);
    return candidate >= current
      ? conclude('promote', `${few}: not worse than v${currentVersion} on those`)
      : conclude('hold', `${few}, and worse than v${currentVersion} on those`);
  }
  if (candidate < gate.minimumMetric)
    return conclude('reject', `${measured} is below the minimum of ${percent(gate.minimumMetric)}${against}`);
  const sunk = Object.entries(labels).filter(
    ([, { candidate: recall, current: before, support }]) =>
      support >= minimumLabelRows && recall < gate.labelFloor && (before === null || before > recall),
  );
  if (sunk.length > 0) {
    const named = sunk.slice(0, maxNamed).map(([label, { candidate: recall, support }]) => `"${label}" (${percent(recall)} of ${support})`);
    const more = sunk.length > maxNamed ? ` and ${sunk.length - maxNamed} more` : '';
    return conclude('hold', `${measured}, but hardly any row of label ${named.join(', ')}${more} is recognised`);
  }
  if (current !== null && candidate < current - gate.margin) {
    const p = pairedP === null ? '' : ` (p = ${pairedP.toPrecision(2)})`;
    return pairedP !== null && pairedP < gate.significance
      ? conclude('reject', `${measured}${against}: worse by more than the margin, and not by chance${p}`)
      : conclude('hold', `${measured}${against}: worse by more than the margin, though that may be chance${p}`);
  }
  return conclude('promote', `${measured}${against}`);
}
