import type { BusinessModel } from './catalog.ts';

/** Rows that have this label. */
export type LabelRows = { readonly label: string; readonly examples: number };

/** Labels that a reason names. */
const maxNamed = 5;

/** Why there is not enough to train on, one sentence a reason; empty when there is. Labels below the minimum do not stop the others. */
export function missingData(labels: readonly LabelRows[], rows: number, minimum: BusinessModel['minimumData']): string[] {
  const thin = labels.filter(({ examples }) => examples < minimum.examplesPerLabel);
  const enough = labels.length - thin.length;
  if (enough < minimum.labels) {
    const named = thin.slice(0, maxNamed).map(({ label, examples }) => `"${label}" has ${examples}`);
    const have = `${enough} ${enough === 1 ? 'has' : 'have'} that many${named.length > 0 ? ` (${named.join(', ')})` : ''}`;
    return [`at least ${minimum.labels} labels with ${minimum.examplesPerLabel} examples each are needed, ${have}`];
  }
  return rows < minimum.rows ? [`at least ${minimum.rows} examples are needed, there are ${rows}`] : [];
}
