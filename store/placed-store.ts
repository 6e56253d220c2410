import { ObjectsLocked } from './object-locks.ts';
import type { ListedObject, ObjectStore, PutResult } from './object-store.ts';
import { type Places, byStore, placedLocks } from './placed-locks.ts';
import type { TenantPlacements } from './tenant-placements.ts';

const ownedRoots = ['tenants/', 'kept/'];
const tenantOf = (keyOrPrefix: string): string | null => /^(?:tenants|kept)\/([^/]+)\//.exec(keyOrPrefix)?.[1] ?? null;
/** A prefix under which objects of several tenants may be. */
const isOfMany = (prefix: string): boolean => ownedRoots.some((root) => root.startsWith(prefix) || prefix.startsWith(root));

/**
 * One store in which objects of a tenant lie where the tenant is placed, and all others by default. To whoever uses it, all are in one bucket, which
 * references name.
 */
export function createPlacedStore(
  byDefault: ObjectStore,
  byName: ReadonlyMap<string, ObjectStore>,
  tenants: TenantPlacements,
): ObjectStore {
  const { bucket } = byDefault;
  // Two placements may share a bucket.
  const distinct = [...new Map([byDefault, ...byName.values()].map((store) => [store.bucket, store])).values()];
  const storeAt = (placement: string | null): ObjectStore => {
    const store = placement === null ? byDefault : byName.get(placement);
    if (!store) throw new Error(`there is no placement ${placement}`);
    return store;
  };
  const storeOf = async (key: string, ask: 'of' | 'fix'): Promise<ObjectStore> => {
    const tenantId = tenantOf(key);
    return tenantId === null ? byDefault : storeAt(await tenants[ask](tenantId));
  };
  const where = (key: string): Promise<ObjectStore> => storeOf(key, 'of');
  /** For whoever stores there, now or by an address. */
  const whereFor = (key: string): Promise<ObjectStore> => storeOf(key, 'fix');
  const inOurs = (put: PutResult): PutResult => ({ ...put, ref: { ...put.ref, bucket } });
  const below = async (prefix: string): Promise<readonly ObjectStore[]> =>
    tenantOf(prefix) === null && isOfMany(prefix) ? distinct : [await where(prefix)];
  const places: Places = { where, below };

  return {
    bucket,
    size: async (key) => await (await where(key)).size(key),
    read: async (ref) => await (await where(ref.key)).read(ref),
    stream: async (key) => await (await where(key)).stream(key),
    streamPart: async (key, from, bytes) => await (await where(key)).streamPart(key, from, bytes),
    putContent: async (key, bytes, sha256) => inOurs(await (await whereFor(key)).putContent(key, bytes, sha256)),
    putContentStream: async (key, source) => inOurs(await (await whereFor(key)).putContentStream(key, source)),
    putNew: async (key, bytes) => inOurs(await (await whereFor(key)).putNew(key, bytes)),
    replace: async (key, bytes) => await (await whereFor(key)).replace(key, bytes),
    delete: async (keys, signal, bypass) => {
      const locked = new Map<string, number | null>();
      for (const [store, part] of await byStore(places, keys, (key) => key)) {
        try {
          await store.delete(part, signal, bypass);
        } catch (error) {
          if (!(error instanceof ObjectsLocked)) throw error;
          for (const [key, until] of error.locked) locked.set(key, until);
        }
      }
      if (locked.size > 0) throw new ObjectsLocked(locked);
    },
    locks: placedLocks(places),
    dropUploads: async (prefix, beforeMs) => {
      let dropped = 0;
      for (const store of await below(prefix)) dropped += await store.dropUploads(prefix, beforeMs);
      return dropped;
    },
    list: async function* (prefix) {
      const stores = await below(prefix);
      const [only] = stores;
      if (stores.length === 1 && only) yield* only.list(prefix);
      else
        yield* inOrder(
          stores.map((store) =>
            // What lies in a bucket in which its tenant is not placed is not what that key means.
            filtered(store.list(prefix), async ({ key }) => (await where(key)).bucket === store.bucket),
          ),
        );
    },
    presignGet: async (key, seconds) => await (await where(key)).presignGet(key, seconds),
    presignPut: async (key, seconds) => await (await whereFor(key)).presignPut(key, seconds),
  };
}

async function* filtered(
  objects: AsyncIterable<ListedObject>,
  wanted: (object: ListedObject) => Promise<boolean>,
): AsyncGenerator<ListedObject> {
  for await (const object of objects) if (await wanted(object)) yield object;
}

/** Several lists as one, in the order of keys. */
async function* inOrder(lists: readonly AsyncIterable<ListedObject>[]): AsyncGenerator<ListedObject> {
  const turns = lists.map((list) => ({ objects: list[Symbol.asyncIterator](), next: null as ListedObject | null }));
  const step = async (turn: (typeof turns)[number]): Promise<void> => {
    const { done, value } = await turn.objects.next();
    turn.next = done === true ? null : value;
  };
  await Promise.all(turns.map(step));
  for (;;) {
    const [first] = turns.filter(({ next }) => next !== null).sort((a, b) => ((a.next?.key ?? '') < (b.next?.key ?? '') ? -1 : 1));
    if (!first?.next) return;
    yield first.next;
    await step(first);
  }
}
