import { type Amount, type SweepReport, addAmounts, noKinds, nothing } from '../../core/store-care.ts';
import { type ObjectPlace, placeOf } from '../../store/object-place.ts';
import type { ListedObject, ObjectStore } from '../../store/object-store.ts';
import { storeClockMs } from '../../store/store-clock.ts';
import type { StoreCareDependencies } from './store-care-activities.ts';
import { beginSweeps, endSweeps, extendSweeps, leasedScopes } from './leases.ts';

/** Keys of one request: it is over long before the sweep would be taken for dead. */
const keysPerRequest = 500;
const requestMs = 60_000;

type Candidate = ListedObject & { readonly place: ObjectPlace };
/** Told of every object before it is removed. */
export type BeforeRemoval = (objects: readonly Candidate[]) => Promise<void>;
export type Listed = {
  /** Older than the grace. */
  readonly old: readonly Candidate[];
  readonly young: Amount;
  readonly unknown: Amount;
};

/**
 * Everything under the prefixes, told apart by the store's own clock. Uploads in parts that are older than the grace are given up, unless `leaveUploads`:
 * whoever began them is dead, and what they hold is in no listing.
 */
export async function listForSweep(
  store: ObjectStore,
  prefixes: readonly string[],
  { graceMs, leaveUploads, beat }: { readonly graceMs: number; readonly leaveUploads: boolean; readonly beat: () => void },
): Promise<Listed> {
  const beforeMs = (await storeClockMs(store)) - graceMs;
  if (!leaveUploads) for (const prefix of prefixes) await store.dropUploads(prefix, beforeMs);
  const old: Candidate[] = [];
  let young = nothing;
  let unknown = nothing;
  for (const prefix of prefixes)
    for await (const object of store.list(prefix)) {
      beat();
      const amount = { objects: 1, bytes: object.bytes };
      const place = placeOf(object.key);
      if (!place) unknown = addAmounts(unknown, amount);
      // Not older than: with a grace of none, what was stored this very second goes too.
      else if (object.modifiedMs <= beforeMs) old.push({ ...object, place });
      else young = addAmounts(young, amount);
    }
  return { old, young, unknown };
}

/**
 * Removes what nothing refers to, or only counts it: the same way up to the request that removes. `live` is asked once the sweeps have begun and no
 * run holds a lease: what it says stays true until the sweeps end.
 */
export async function sweep(
  { pool, store, beat }: Pick<StoreCareDependencies, 'pool' | 'store' | 'beat'>,
  { roundId, dryRun }: { readonly roundId: string; readonly dryRun: boolean },
  { old, young, unknown }: Listed,
  wanted: readonly string[],
  live: (scopes: ReadonlySet<string>) => Promise<{ readonly keeps: (object: Candidate) => boolean; readonly deferred: readonly string[] }>,
  beforeRemoval: BeforeRemoval = () => Promise.resolve(),
): Promise<Pick<SweepReport, 'removed' | 'kept' | 'unknown' | 'deferred'>> {
  const removed = noKinds();
  let kept = young;
  const began = dryRun ? new Set(wanted) : await beginSweeps(pool, roundId, wanted);
  try {
    const leased = await leasedScopes(pool, wanted);
    const scopes = new Set([...began].filter((scope) => !leased.has(scope)));
    const left = wanted.filter((scope) => !scopes.has(scope));
    await endSweeps(pool, roundId, dryRun ? [] : left);
    const { keeps, deferred } = await live(scopes);
    const garbage: Candidate[] = [];
    for (const object of old) {
      if (keeps(object)) kept = addAmounts(kept, { objects: 1, bytes: object.bytes });
      else garbage.push(object);
    }
    for (let at = 0; at < garbage.length; at += keysPerRequest) {
      const batch = garbage.slice(at, at + keysPerRequest);
      beat();
      if (!dryRun) {
        await beforeRemoval(batch);
        await extendSweeps(pool, roundId, [...scopes]);
        await store.delete(
          batch.map(({ key }) => key),
          AbortSignal.timeout(requestMs),
        );
      }
      for (const { place, bytes } of batch) removed[place.kind] = addAmounts(removed[place.kind], { objects: 1, bytes });
    }
    const busy = left.map((scope) => `${scope}: a run may take over what is there, or another round is at it`);
    return { removed, kept, unknown, deferred: [...busy, ...deferred] };
  } finally {
    if (!dryRun) await endSweeps(pool, roundId, wanted);
  }
}
