import type { BaseManifestRef } from '../../core/model.ts';
import { nowMs } from '../../platform/clock.ts';
import type { ObjectStore } from '../../store/object-store.ts';

/** What somebody removes by hand is noticed by a publisher after this at the latest. Collections are noticed at once: they change the mark. */
const trustedMs = 15 * 60_000;

type Seen = { readonly mark: string; readonly atMs: number };
/** By bucket and the digest of the base model's manifest. */
const seen = new Map<string, Seen>();
const nameOf = ({ bucket }: Pick<ObjectStore, 'bucket'>, { sha256 }: BaseManifestRef): string => `${bucket} ${sha256}`;

/** All that the base model's manifest names is in the store, and so is the manifest; `mark`: of the base scope (`sweepMark`), read before it was looked. */
export const noteSeen = (store: Pick<ObjectStore, 'bucket'>, base: BaseManifestRef, mark: string): void =>
  void seen.set(nameOf(store, base), { mark, atMs: nowMs() });

/**
 * True where this process has seen it whole a short while ago and no collector has begun to remove base objects since. Holds for a run that has a lease of the
 * base scope as long as it has the lease; `mark` is read under that lease.
 */
export function isSeen(store: Pick<ObjectStore, 'bucket'>, base: BaseManifestRef, mark: string): boolean {
  const before = seen.get(nameOf(store, base));
  return before?.mark === mark && nowMs() - before.atMs < trustedMs;
}
