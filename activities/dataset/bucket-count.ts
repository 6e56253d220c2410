import { type DirtyBuckets, fineBuckets, listBuckets, noBuckets, withBucket } from '../../core/dirty-buckets.ts';

/** A bucket of this many rows is re-read and re-written in milliseconds. */
const rowsPerBucket = 1_000;
/** A dataset is cut anew only when its buckets have become this many times too large or too small. */
const tolerance = 4;

/** Buckets of a dataset with so many rows: a power of two, at most the finest number. */
function wantedBuckets(rows: number): number {
  let count = 1;
  while (count < fineBuckets && count * rowsPerBucket < rows) count *= 2;
  return count;
}

/** The parent's number as long as it fits, so that its buckets can be reused. */
export function bucketCountFor(rows: number, parent: number | null): number {
  const wanted = wantedBuckets(rows);
  if (parent === null) return wanted;
  return wanted > parent * tolerance || wanted * tolerance < parent ? wanted : parent;
}

/** Finest buckets of a bucket: a contiguous range of the table's primary key. */
export function fineRange(index: number, bucketCount: number): { readonly first: number; readonly last: number } {
  const width = fineBuckets / bucketCount;
  return { first: index * width, last: (index + 1) * width - 1 };
}

/** Buckets that hold a dirty finest bucket, ascending; all of them for null. */
export function bucketsToRead(dirty: DirtyBuckets | null, bucketCount: number): number[] {
  if (dirty === null) return Array.from({ length: bucketCount }, (_, i) => i);
  const width = fineBuckets / bucketCount;
  return [...new Set(listBuckets(dirty).map((fine) => Math.floor(fine / width)))];
}

/** Finest buckets of these buckets; null if they are all there are. */
export function fineBucketsOf(indexes: readonly number[], bucketCount: number): DirtyBuckets | null {
  if (indexes.length === bucketCount) return null;
  let set = noBuckets;
  for (const index of indexes)
    for (let { first, last } = fineRange(index, bucketCount); first <= last; first++) set = withBucket(set, first);
  return set;
}
