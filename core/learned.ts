import { type DirtyBuckets, noBuckets, withoutBuckets } from './dirty-buckets.ts';
import { gtidSetContains } from './gtid.ts';

/** A dataset as the question «does it hold this commit?» needs it. */
export type LearnedDataset = {
  readonly number: number;
  readonly cut: string;
  /** Finest buckets that were read for it; null: all of them. */
  readonly readBuckets: DirtyBuckets | null;
};

/**
 * The first of the datasets (ascending) that really holds a commit; every later one holds it too. The cut alone does not tell: buckets that were
 * not read were taken over from the parent, as they were before the commit. `buckets`: those that the commit touched, null: not known.
 */
export function firstHolding<T extends LearnedDataset>(datasets: readonly T[], gtid: string, buckets: DirtyBuckets | null): T | null {
  let unread = buckets;
  for (const dataset of datasets) {
    if (!gtidSetContains(dataset.cut, gtid)) continue;
    if (dataset.readBuckets === null) return dataset;
    if (unread === null) continue;
    unread = withoutBuckets(unread, dataset.readBuckets);
    if (unread === noBuckets) return dataset;
  }
  return null;
}
