import type { BusinessModel } from '../../catalog/catalog.ts';
import type { DatasetBucket } from '../../core/dataset.ts';

/** Rows by side. */
export type SideCounts = { readonly train: number; readonly evaluation: number };

/** Rows by label and side. */
export type LabelCounts = Readonly<Record<string, SideCounts>>;

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

/** Rows of a bucket by side. Buckets from before rows could have other than one label have a label for each row. */
export function sidesOf({ labels, counts }: Pick<DatasetBucket, 'labels' | 'counts'>): SideCounts {
  return counts ?? sumSides(Object.values(labels));
}

export function sumSides(parts: readonly SideCounts[]): SideCounts {
  const sum = (side: keyof SideCounts): number => parts.reduce((total, part) => total + part[side], 0);
  return { train: sum('train'), evaluation: sum('evaluation') };
}

/** Why there is not enough to train on, one sentence a reason; empty when there is. Labels below the minimum do not stop the others. */
export function missingData(labels: LabelCounts, rows: number, minimum: BusinessModel['minimumData']): string[] {
  const reasons: string[] = [];
  const counts = Object.entries(labels).map(([label, { train, evaluation }]) => ({ label, rows: train + evaluation }));
  const enough = counts.filter((count) => count.rows >= minimum.examplesPerLabel);
  if (enough.length < minimum.labels) {
    const thin = counts
      .filter((count) => count.rows < minimum.examplesPerLabel)
      .slice(0, 5)
      .map((count) => `"${count.label}" has ${count.rows}`);
    reasons.push(
      `at least ${minimum.labels} labels with ${minimum.examplesPerLabel} examples each are needed, ${enough.length} ${enough.length === 1 ? 'has' : 'have'} that many${thin.length > 0 ? ` (${thin.join(', ')})` : ''}`,
    );
  }
  if (reasons.length === 0 && rows < minimum.rows) reasons.push(`at least ${minimum.rows} examples are needed, there are ${rows}`);
  return reasons;
}
