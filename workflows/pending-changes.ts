import type { CustomizationChanges } from '../core/change-digest.ts';
import { type DirtyBuckets, noBuckets, unionBuckets } from '../core/dirty-buckets.ts';
import { gtidSetContains } from '../core/gtid.ts';

/** Changes of one customization that no dataset is known to contain yet. Times are Unix epoch milliseconds. */
export type PendingChanges = {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  /** What the policy's thresholds are compared with: events as counted, or rows as found by a comparison with the dataset; null: unknown. */
  readonly changedRows: number | null;
  /** Buckets to read again; null: all of them. */
  readonly dirtyBuckets: DirtyBuckets | null;
  /** When the workflow learned of the first and of the last of them: its own clock, which the quiet period runs by. */
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  /** Oldest commit among them, by the source's clock but never later than firstSeenMs. */
  readonly firstCommitMs: number;
  /** The same for the oldest deletion. */
  readonly firstDeletedMs: number | null;
  /** GTID of the last of them, '' if unknown. */
  readonly lastGtid: string;
};

/** Null where the digest has no row changes of the customization. */
export function pendingFrom(changes: CustomizationChanges, nowMs: number): PendingChanges | null {
  const { inserted, updated, deleted } = changes;
  const changedRows = inserted + updated + deleted;
  if (changedRows === 0) return null;
  const firstCommitMs = Math.min(changes.firstCommitMs, nowMs);
  return {
    inserted,
    updated,
    deleted,
    changedRows,
    dirtyBuckets: changes.dirtyBuckets,
    firstSeenMs: nowMs,
    lastSeenMs: nowMs,
    firstCommitMs,
    firstDeletedMs: deleted > 0 ? firstCommitMs : null,
    lastGtid: changes.lastGtid,
  };
}

/** For a workflow that does not know what it missed: the whole table is compared with the last dataset. */
export const unknownChanges = (nowMs: number): PendingChanges => ({
  inserted: 0,
  updated: 0,
  deleted: 0,
  changedRows: null,
  dirtyBuckets: null,
  firstSeenMs: nowMs,
  lastSeenMs: nowMs,
  firstCommitMs: nowMs,
  firstDeletedMs: null,
  lastGtid: '',
});

/** `later` may be null, or older in time: only `lastGtid` depends on the order. */
export function mergePending(earlier: PendingChanges | null, later: PendingChanges | null): PendingChanges | null {
  if (!earlier || !later) return earlier ?? later;
  const deletions = [earlier.firstDeletedMs, later.firstDeletedMs].filter((at) => at !== null);
  return {
    inserted: earlier.inserted + later.inserted,
    updated: earlier.updated + later.updated,
    deleted: earlier.deleted + later.deleted,
    changedRows: earlier.changedRows === null || later.changedRows === null ? null : earlier.changedRows + later.changedRows,
    dirtyBuckets:
      earlier.dirtyBuckets === null || later.dirtyBuckets === null ? null : unionBuckets(earlier.dirtyBuckets, later.dirtyBuckets),
    firstSeenMs: Math.min(earlier.firstSeenMs, later.firstSeenMs),
    lastSeenMs: Math.max(earlier.lastSeenMs, later.lastSeenMs),
    firstCommitMs: Math.min(earlier.firstCommitMs, later.firstCommitMs),
    firstDeletedMs: deletions.length > 0 ? Math.min(...deletions) : null,
    lastGtid: later.lastGtid === '' ? earlier.lastGtid : later.lastGtid,
  };
}

/**
 * What is left when a dataset with this cut exists, for which `read` buckets were read again (null: all). A tenant's changes come in commit
 * order, so the last one stands for all. Changes of a bucket that was reused stay, although the cut contains them.
 */
export function withoutCut(pending: PendingChanges | null, cut: string, read: DirtyBuckets | null): PendingChanges | null {
  // What a gap hid may lie after the cut, whatever was sensed last before the gap.
  if (!pending || pending.changedRows === null || !gtidSetContains(cut, pending.lastGtid)) return pending;
  if (read === null) return null;
  return pending.dirtyBuckets !== null && unionBuckets(pending.dirtyBuckets, read) === read ? null : pending;
}

/** Buckets that a comparison must read for these changes. */
export const bucketsToRead = (pending: PendingChanges | null): DirtyBuckets | null => (pending ? pending.dirtyBuckets : noBuckets);

export const countEvents = (pending: PendingChanges): number => pending.inserted + pending.updated + pending.deleted;
