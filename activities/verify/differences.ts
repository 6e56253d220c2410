import type { DirtyBuckets } from '../../core/dirty-buckets.ts';
import { listBuckets } from '../../core/dirty-buckets.ts';
import type { Difference, DifferenceKind } from './compare-bucket.ts';

/** Ids that are kept of one finest bucket and kind, and that a result names of one kind. */
const keptPerBucket = 20;
const namedPerKind = 100;

const kinds: readonly DifferenceKind[] = ['missing', 'extra', 'changed'];
type Kept = { count: number; ids: string[] };

/** Differences by finest bucket: exact counts and a bounded number of ids, whatever the table's size. */
export class Differences {
  readonly #kept = new Map<number, Record<DifferenceKind, Kept>>();

  add({ id, kind, fine }: Difference): void {
    let bucket = this.#kept.get(fine);
    if (!bucket) {
      bucket = { missing: { count: 0, ids: [] }, extra: { count: 0, ids: [] }, changed: { count: 0, ids: [] } };
      this.#kept.set(fine, bucket);
    }
    bucket[kind].count += 1;
    if (bucket[kind].ids.length < keptPerBucket) bucket[kind].ids.push(id);
  }

  get none(): boolean {
    return this.#kept.size === 0;
  }

  count(kind: DifferenceKind): number {
    return [...this.#kept.values()].reduce((sum, bucket) => sum + bucket[kind].count, 0);
  }

  named(kind: DifferenceKind): string[] {
    return [...this.#kept.values()].flatMap((bucket) => bucket[kind].ids).slice(0, namedPerKind);
  }

  /** Those in buckets that no known change covers; null covers everything. */
  outside(covered: DirtyBuckets | null): Differences {
    const rest = new Differences();
    if (covered === null) return rest;
    const known = new Set(listBuckets(covered));
    for (const [fine, bucket] of this.#kept) if (!known.has(fine)) rest.#kept.set(fine, bucket);
    return rest;
  }

  get total(): number {
    return kinds.reduce((sum, kind) => sum + this.count(kind), 0);
  }

  get ids(): string[] {
    return kinds.flatMap((kind) => this.named(kind)).slice(0, namedPerKind);
  }
}
