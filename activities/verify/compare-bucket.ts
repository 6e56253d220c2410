import { bucketOf } from '../../platform/hash.ts';
import { fineRange } from '../dataset/bucket-count.ts';
import { leafDigest, merkleRoot } from '../../store/merkle.ts';
import type { ScannedBucket } from '../dataset/scan-bucket.ts';

export type DifferenceKind = 'missing' | 'extra' | 'changed';
export type Difference = { readonly id: string; readonly kind: DifferenceKind; readonly fine: number };

/** A stored bucket as its bytes say, whatever its manifest says. */
export type StoredBucket = {
  readonly rows: number;
  readonly digest: string;
  readonly leaves: ReadonlyMap<string, string>;
  /** Ids that occur twice, or lie in a bucket that is not theirs: phantoms by themselves. */
  readonly misplaced: readonly string[];
};

/** Hashes a bucket's lines anew, in the order that the file has. */
export function storedBucket(lines: readonly string[], bucket: { readonly index: number; readonly bucketCount: number }): StoredBucket {
  const { first, last } = fineRange(bucket.index, bucket.bucketCount);
  const fine: Buffer[][] = Array.from({ length: last - first + 1 }, () => []);
  const leaves = new Map<string, string>();
  const misplaced: string[] = [];
  for (const line of lines) {
    const { id } = JSON.parse(line) as { id: string };
    const digest = leafDigest(line);
    const own = fine[bucketOf(id) - first];
    if (leaves.has(id) || !own) misplaced.push(id);
    own?.push(digest);
    leaves.set(id, digest.toString('base64'));
  }
  return { rows: lines.length, digest: merkleRoot(fine.map(merkleRoot)).toString('hex'), leaves, misplaced };
}

/** Row by row: what the table has and the dataset has not, the other way round, and what differs. */
export function compareBucket(scanned: Pick<ScannedBucket, 'rows'>, stored: StoredBucket): Difference[] {
  const left = new Map(stored.leaves);
  const found: Difference[] = [];
  const note = (id: string, kind: DifferenceKind): void => void found.push({ id, kind, fine: bucketOf(id) });
  for (const { id, digest } of scanned.rows) {
    const known = left.get(id);
    if (known === undefined) note(id, 'missing');
    else if (known !== digest.toString('base64')) note(id, 'changed');
    left.delete(id);
  }
  for (const id of left.keys()) note(id, 'extra');
  return found;
}
