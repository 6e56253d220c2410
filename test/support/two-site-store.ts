import type { Config } from '../../platform/config.ts';
import { createS3Client } from '../../platform/s3.ts';
import { createMirroredStore } from '../../store/mirrored-store.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { OwedObjects } from '../../store/owed-objects.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';

/** What is on record, in memory: `site what key`. */
export function rememberedOwed(): OwedObjects & { readonly noted: Set<string> } {
  const noted = new Set<string>();
  return {
    noted,
    note: async (site, keys, what) => await Promise.resolve(keys.forEach((key) => noted.add(`${site.name} ${what} ${key}`))),
    has: async (site, key) => await Promise.resolve(noted.has(`${site.name} copy ${key}`)),
  };
}

/** One store over two servers, each of them as a store of its own too. A server that is away is given up at once. */
export function twoSiteStore([first, second]: readonly [Config['s3'], Config['s3']], owed: OwedObjects = rememberedOwed()) {
  const open = (s3: Config['s3']): ObjectStore =>
    createS3ObjectStore(createS3Client({ s3 }, { maxAttempts: 2, silenceMs: 5_000 }), s3.bucket);
  const sites = { first: open(first), second: open(second) };
  const store = createMirroredStore(
    [
      { name: 'first', endpoint: first.endpoint, store: sites.first },
      { name: 'second', endpoint: second.endpoint, store: sites.second },
    ],
    owed,
  );
  return { store, ...sites };
}
