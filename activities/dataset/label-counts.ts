import type { BusinessModel } from '../../catalog/catalog.ts';

/** Rows by label and side. */
export type LabelCounts = Readonly<Record<string, { readonly train: number; readonly evaluation: number }>>;

export function sumLabels(parts: readonly LabelCounts[]): LabelCounts {
  const total: Record<string, { train: number; evaluation: number }> = {};
  for (const part of parts) {
    for (const [label, { train, evaluation }] of Object.entries(part)) {
      const counts = (total[label] ??= { train: 0, evaluation: 0 });
      counts.train += train;
      counts.evaluation += evaluation;
    }
  }
  return Object.fromEntries(Object.entries(total).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Why there is not enough to train on, one sentence a reason; empty when there is. Labels below the minimum do not stop the others. */
export function missingData(labels: LabelCounts, minimum: BusinessModel['minimumData']): string[] {
  const counts = Object.entries(labels).map(([label, { train, evaluation }]) => ({ label, rows: train + evaluation }));
  const enough = counts.filter(({ rows }) => rows >= minimum.examplesPerLabel);
  if (enough.length >= minimum.labels) return [];
  const thin = counts
    .filter(({ rows }) => rows < minimum.examplesPerLabel)
    .slice(0, 5)
    .map(({ label, rows }) => `"${label}" has ${rows}`);
  return [
    `at least ${minimum.labels} labels with ${minimum.examplesPerLabel} examples each are needed, ${enough.length} ${enough.length === 1 ? 'has' : 'have'} that many${thin.length > 0 ? ` (${thin.join(', ')})` : ''}`,
  ];
}
