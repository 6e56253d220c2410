import type { HiddenVersion, LockedUntil, ObjectLocks } from './object-locks.ts';
import type { ObjectStore } from './object-store.ts';

/** Which store has a key; those that may have something below a prefix. */
export type Places = {
  readonly where: (key: string) => Promise<ObjectStore>;
  readonly below: (prefix: string) => Promise<readonly ObjectStore[]>;
};

/** Groups by the store that has the key of each. */
export async function byStore<T>({ where }: Places, of: readonly T[], keyOf: (one: T) => string): Promise<Map<ObjectStore, T[]>> {
  const groups = new Map<ObjectStore, T[]>();
  for (const one of of) {
    const store = await where(keyOf(one));
    const group = groups.get(store);
    if (group) group.push(one);
    else groups.set(store, [one]);
  }
  return groups;
}

/** Locks of a store in which tenants lie in several buckets: each bucket has its own. */
export function placedLocks(places: Places): ObjectLocks {
  const ofKeys = async (keys: readonly string[]) => await byStore(places, keys, (key) => key);
  const ofVersions = async (versions: readonly HiddenVersion[]) => await byStore(places, versions, ({ key }) => key);
  return {
    lock: async (keys, untilMs) => {
      for (const [store, theirs] of await ofKeys(keys)) await store.locks?.lock(theirs, untilMs);
    },
    locked: async (keys): Promise<LockedUntil> => {
      const locked = new Map<string, number | null>();
      for (const [store, theirs] of await ofKeys(keys))
        for (const [key, until] of (await store.locks?.locked(theirs)) ?? []) locked.set(key, until);
      return locked;
    },
    async *hidden(prefix) {
      for (const store of await places.below(prefix))
        for await (const version of store.locks?.hidden(prefix) ?? [])
          if ((await places.where(version.key)).bucket === store.bucket) yield version;
    },
    lockedHidden: async (versions) => {
      const locked = new Map<HiddenVersion, number | null>();
      for (const [store, theirs] of await ofVersions(versions))
        for (const [version, until] of (await store.locks?.lockedHidden(theirs)) ?? []) locked.set(version, until);
      return locked;
    },
    dropHidden: async (versions, signal) => {
      for (const [store, theirs] of await ofVersions(versions)) await store.locks?.dropHidden(theirs, signal);
    },
  };
}
