/** Finest number of dataset buckets; a bucket is the first byte of SHA-256 of the example id. */
export const fineBuckets = 256;

/** 256-bit set of fine buckets as 64 lower-case hex digits; bucket 0 is the lowest bit of the first digit pair. */
export type DirtyBuckets = string;

export const noBuckets: DirtyBuckets = '0'.repeat(fineBuckets / 4);
export const allBuckets: DirtyBuckets = 'f'.repeat(fineBuckets / 4);

const bytesOf = (set: DirtyBuckets): number[] =>
  Array.from({ length: fineBuckets / 8 }, (_, i) => parseInt(set.slice(i * 2, i * 2 + 2), 16));
const setOf = (bytes: readonly number[]): DirtyBuckets => bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');

export function withBucket(set: DirtyBuckets, bucket: number): DirtyBuckets {
  const bytes = bytesOf(set);
  const at = bucket >> 3;
  bytes[at] = (bytes[at] ?? 0) | (1 << (bucket & 7));
  return setOf(bytes);
}

export function unionBuckets(a: DirtyBuckets, b: DirtyBuckets): DirtyBuckets {
  const other = bytesOf(b);
  return setOf(bytesOf(a).map((byte, i) => byte | (other[i] ?? 0)));
}

/** Buckets of `a` that are not in `b`. */
export function withoutBuckets(a: DirtyBuckets, b: DirtyBuckets): DirtyBuckets {
  const other = bytesOf(b);
  return setOf(bytesOf(a).map((byte, i) => byte & ~(other[i] ?? 0)));
}

/** Fine bucket numbers in the set, ascending. */
export function listBuckets(set: DirtyBuckets): number[] {
  return bytesOf(set).flatMap((byte, i) => [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte & (1 << bit)) !== 0).map((bit) => i * 8 + bit));
}

/** Buckets whose digests differ; one list may be shorter. */
export const differingBuckets = (before: readonly string[], now: readonly string[]): DirtyBuckets =>
  now.reduce((set, print, bucket) => (before[bucket] === print ? set : withBucket(set, bucket)), noBuckets);
