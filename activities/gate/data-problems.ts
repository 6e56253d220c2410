import type { BusinessModel } from '../../catalog/catalog.ts';
import { measured } from '../../core/metrics.ts';
import type { GateDataFacts } from '../../core/model.ts';
import { atMost } from './binomial.ts';

/** Labels that an explanation names. */
const maxNamed = 3;
/** Rows below this number are single corrections, whatever their share. */
const fewRows = 5;
/** Learned evaluation rows below this number are chance, whatever their share. */
const fewLeaked = 3;
/** Rows are drawn for the evaluation side by chance: of a label with new texts, fewer than before is no loss unless it is rarer than this. */
const rare = 0.001;

/** Such as `"a" (3 of 20), "b" (1 of 9) and 4 more`. */
export function namedLabels<T>(labels: readonly (readonly [label: string, of: T])[], say: (of: T) => string): string {
  const named = labels.slice(0, maxNamed).map(([label, of]) => `"${label}" (${say(of)})`);
  return `${named.join(', ')}${labels.length > maxNamed ? ` and ${labels.length - maxNamed} more` : ''}`;
}

type Side = 'train' | 'evaluation';
type Sides = Readonly<Record<Side, number>>;

/** Whether so few evaluation rows of a label come about where its rows of now are drawn as those of before were. */
function drawnByChance(was: Sides, is: Sides): boolean {
  const share = was.evaluation / (was.train + was.evaluation);
  return share < 1 && atMost(is.evaluation, is.train + is.evaluation, share) >= rare;
}

/** What is wrong with the rows that the candidate learned and is judged by; a clause each. Pure. */
export function dataProblems(data: GateDataFacts, gate: BusinessModel['gate']): string[] {
  const { leaked, labels, before, evaluationRows } = data;
  const problems: string[] = [];
  if (leaked.rows >= fewLeaked && leaked.rows > evaluationRows * gate.maximumLeak)
    problems.push(
      `${leaked.rows} of the ${evaluationRows} evaluation rows were also learned (their texts, or nearly the same, are on the training side), so that the figure is too good`,
    );
  if (before === null) return problems;
  if (before.relabelled >= fewRows && before.relabelled > before.compared * gate.maximumRelabelled) {
    const worst = Object.entries(before.relabelledLabels).sort((a, b) => b[1].relabelled - a[1].relabelled || (a[0] < b[0] ? -1 : 1));
    const from = worst.length === 0 ? '' : `, most of them of label ${namedLabels(worst, (of) => `${of.relabelled} of ${of.rows}`)}`;
    const share = measured(before.relabelled / before.compared, 'share');
    problems.push(`${share} of the rows that production learned from have another answer now${from}`);
  }
  const lost = Object.entries(before.labels).flatMap(([label, was]) => {
    const is = labels[label] ?? { train: 0, evaluation: 0 };
    const fewer = (side: Side): boolean => was[side] >= fewRows && was[side] - is[side] > was[side] * gate.maximumLabelLoss;
    const side = fewer('train') ? 'train' : fewer('evaluation') && !drawnByChance(was, is) ? 'evaluation' : undefined;
    return side === undefined ? [] : [[label, { side, was: was[side], is: is[side] }] as const];
  });
  if (lost.length > 0) {
    const say = (of: { readonly side: Side; readonly was: number; readonly is: number }): string =>
      `${of.is} of ${of.was} ${of.side === 'train' ? 'training' : of.side} rows are left`;
    problems.push(`most rows of label ${namedLabels(lost, say)} are gone`);
  }
  return problems;
}
