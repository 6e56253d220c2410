import type { LabelRows } from '../../catalog/minimum-data.ts';
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

/** Rows of each label, whichever side they are on. */
export const rowsByLabel = (labels: LabelCounts): LabelRows[] =>
  Object.entries(labels).map(([label, { train, evaluation }]) => ({ label, examples: train + evaluation }));
