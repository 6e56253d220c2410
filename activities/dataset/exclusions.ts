import type { DatasetManifest } from '../../core/dataset.ts';

/** Example ids that a manifest names for one reason. */
const maxNamed = 50;

type Listed = DatasetManifest['exclusions'][number];

/** Rows that were left out, by bucket and reason: those of buckets that were not read again are taken over from the parent. */
export class Exclusions {
  readonly #found = new Map<string, { bucket: number; reason: string; rows: number; exampleIds: string[] }>();

  replace(bucket: number, excluded: readonly { readonly id: string; readonly reason: string }[]): void {
    for (const { id, reason } of excluded) {
      const key = `${bucket} ${reason}`;
      const entry = this.#found.get(key) ?? { bucket, reason, rows: 0, exampleIds: [] };
      entry.rows += 1;
      if (entry.exampleIds.length < maxNamed) entry.exampleIds.push(id);
      this.#found.set(key, entry);
    }
  }

  list(parent: readonly Listed[], read: ReadonlySet<number>): Listed[] {
    const kept = parent.filter(({ bucket }) => !read.has(bucket));
    return [...kept, ...this.#found.values()].sort((a, b) => a.bucket - b.bucket || (a.reason < b.reason ? -1 : 1));
  }
}
