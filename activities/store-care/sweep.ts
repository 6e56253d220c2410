import {
  type Amount,
  type LockedAmount,
  type SweepReport,
  addAmounts,
  addLocked,
  noKinds,
  noLocks,
  nothing,
} from '../../core/store-care.ts';
import { type HiddenVersion, type LockedUntil, ObjectsLocked } from '../../store/object-locks.ts';
import { type ObjectPlace, placeOf } from '../../store/object-place.ts';
import type { ListedObject, ObjectStore } from '../../store/object-store.ts';
import { storeClockMs } from '../../store/store-clock.ts';
import type { StoreCareDependencies } from './store-care-activities.ts';
import { beginSweeps, endSweeps, extendSweeps, leasedScopes } from './leases.ts';

/** Keys of one request: it is over long before the sweep would be taken for dead. */
const keysPerRequest = 500;
const requestMs = 60_000;

type Candidate = ListedObject & { readonly place: ObjectPlace };
type Hidden = HiddenVersion & { readonly place: ObjectPlace };
/** Told of every object before it is removed; and with `locked`, of those that object lock keeps from it. */
export type BeforeRemoval = (objects: readonly Candidate[], locked?: LockedUntil) => Promise<void>;
export type Listed = {
  /** Older than the grace. */
  readonly old: readonly Candidate[];
  /** Versions older than the grace that no reader sees. */
  readonly hidden: readonly Hidden[];
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
  const hidden: Hidden[] = [];
  for (const prefix of prefixes)
    for await (const version of store.locks?.hidden(prefix) ?? []) {
      beat();
      const place = placeOf(version.key);
      if (place && version.modifiedMs <= beforeMs) hidden.push({ ...version, place });
    }
  return { old, hidden, young, unknown };
}

/**
 * Removes what nothing refers to, or only counts it: the same way up to the request that removes. `live` is asked once the sweeps have begun and no
 * run holds a lease: what it says stays true until the sweeps end.
 */
export async function sweep(
  { pool, store, beat }: Pick<StoreCareDependencies, 'pool' | 'store' | 'beat'>,
  { roundId, dryRun }: { readonly roundId: string; readonly dryRun: boolean },
  { old, hidden, young, unknown }: Listed,
  wanted: readonly string[],
  live: (
    scopes: ReadonlySet<string>,
  ) => Promise<{ readonly keeps: (object: Pick<Candidate, 'key' | 'place'>) => boolean; readonly deferred: readonly string[] }>,
  beforeRemoval: BeforeRemoval = () => Promise.resolve(),
): Promise<Pick<SweepReport, 'removed' | 'kept' | 'locked' | 'unknown' | 'deferred'>> {
  const removed = noKinds();
  let kept = young;
  let locked = noLocks;
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
      const held = new Map((await store.locks?.locked(batch.map(({ key }) => key))) ?? []);
      const free = batch.filter(({ key }) => !held.has(key));
      if (!dryRun && free.length > 0) {
        await beforeRemoval(free);
        await extendSweeps(pool, roundId, [...scopes]);
        for (const [key, until] of await removedBut(store, free)) held.set(key, until);
      }
      const stay = batch.filter(({ key }) => held.has(key));
      if (!dryRun && stay.length > 0) await beforeRemoval(stay, held);
      for (const { key, bytes } of stay) locked = addLocked(locked, lockedAmount(bytes, held.get(key) ?? null));
      for (const { key, place, bytes } of batch)
        if (!held.has(key)) removed[place.kind] = addAmounts(removed[place.kind], { objects: 1, bytes });
    }
    // What refers to a key may want an older version of it back: those go with the last that refers to it.
    const versions = hidden.filter((version) => !keeps(version));
    for (let at = 0; at < versions.length; at += keysPerRequest) {
      const batch = versions.slice(at, at + keysPerRequest);
      beat();
      const held = (await store.locks?.lockedHidden(batch)) ?? new Map<HiddenVersion, number | null>();
      const free = batch.filter((version) => !held.has(version));
      if (!dryRun) await store.locks?.dropHidden(free, AbortSignal.timeout(requestMs));
      const stay = batch.filter((version) => held.has(version));
      if (!dryRun && stay.length > 0) await beforeRemoval(stay, new Map(stay.map((version) => [version.key, held.get(version) ?? null])));
      for (const version of stay) locked = addLocked(locked, lockedAmount(version.bytes, held.get(version) ?? null));
      for (const { place, bytes } of free) removed[place.kind] = addAmounts(removed[place.kind], { objects: 1, bytes });
    }
    const busy = left.map((scope) => `${scope}: a run may take over what is there, or another round is at it`);
    return { removed, kept, locked, unknown, deferred: [...busy, ...deferred] };
  } finally {
    if (!dryRun) await endSweeps(pool, roundId, wanted);
  }
}

/** Removes them; returns those that were locked since it was asked for. */
async function removedBut(store: ObjectStore, objects: readonly Candidate[]): Promise<LockedUntil> {
  try {
    await store.delete(
      objects.map(({ key }) => key),
      AbortSignal.timeout(requestMs),
    );
    return new Map();
  } catch (error) {
    if (error instanceof ObjectsLocked) return error.locked;
    throw error;
  }
}

const lockedAmount = (bytes: number, untilMs: number | null): LockedAmount => ({
  objects: 1,
  bytes,
  until: untilMs === null ? null : new Date(untilMs).toISOString(),
});
