import type { ChangeDigest, CustomizationChanges, LogPosition } from '../../core/change-digest.ts';
import { fineBuckets } from '../../core/dirty-buckets.ts';
import type { ChangeEffect } from './decode.ts';

/** What one transaction did to one customization: a row of `sensed_commits`. */
export type SensedCommit = {
  readonly gtid: string;
  readonly tenantId: string;
  readonly customizationId: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly configured: boolean;
  readonly commitMs: number;
  /** Finest buckets that it touched, 32 bytes. */
  readonly buckets: Uint8Array;
};

type Counts = { inserted: number; updated: number; deleted: number; configured: boolean };
type Commit = Counts & {
  readonly gtid: string;
  readonly customizationId: string;
  readonly commitMs: number;
  readonly buckets: Uint8Array;
};
type Building = Counts & {
  buckets: Uint8Array;
  firstCommitMs: number;
  lastCommitMs: number;
  lastGtid: string;
  /** The commit that is being counted: rows of one transaction follow each other, and a key of two ids costs more than the rest of a row. */
  commit: Commit | null;
};
type Range = { firstOffset: number; lastOffset: number; last: LogPosition };

const zero = (): Counts => ({ inserted: 0, updated: 0, deleted: 0, configured: false });

function count(counts: Counts, operation: ChangeEffect['operation']): void {
  if (operation === 'configured') counts.configured = true;
  else counts[operation] += 1;
}

function mark(buckets: Uint8Array, bucket: number | null): void {
  if (bucket !== null) buckets[bucket >> 3] = (buckets[bucket >> 3] ?? 0) | (1 << (bucket & 7));
}

/** One tenant's digest under construction. Mutable: it is filled by every row that is read. */
export class DigestBuilder {
  readonly tenantId: string;
  readonly ranges = new Map<string, Range>();
  readonly #customizations = new Map<string, Building>();
  readonly #commits = new Map<string, Commit>();

  /** `open`: counts of the transaction that the previous digest of the tenant ended in, by customization: it may go on in this one. */
  constructor(tenantId: string, open: readonly SensedCommit[] = []) {
    this.tenantId = tenantId;
    this.#open = open;
  }
  readonly #open: readonly SensedCommit[];

  add(effect: ChangeEffect, position: LogPosition, commitMs: number, partition: string, offset: number): void {
    const { customizationId, operation, bucket } = effect;
    let building = this.#customizations.get(customizationId);
    if (!building) {
      const buckets = new Uint8Array(fineBuckets / 8);
      building = { ...zero(), buckets, firstCommitMs: commitMs, lastCommitMs: commitMs, lastGtid: '', commit: null };
      this.#customizations.set(customizationId, building);
    }
    count(building, operation);
    mark(building.buckets, bucket);
    building.firstCommitMs = Math.min(building.firstCommitMs, commitMs);
    building.lastCommitMs = Math.max(building.lastCommitMs, commitMs);
    building.lastGtid = position.gtid;
    const range = this.ranges.get(partition);
    if (range) {
      range.lastOffset = offset;
      range.last = position;
    } else this.ranges.set(partition, { firstOffset: offset, lastOffset: offset, last: position });
    if (position.gtid === '') return;
    if (building.commit?.gtid !== position.gtid) building.commit = this.#commitOf(position.gtid, customizationId, commitMs);
    count(building.commit, operation);
    mark(building.commit.buckets, bucket);
  }

  #commitOf(gtid: string, customizationId: string, commitMs: number): Commit {
    const key = `${gtid} ${customizationId}`;
    let commit = this.#commits.get(key);
    if (!commit) {
      const begun = this.#open.find((open) => open.gtid === gtid && open.customizationId === customizationId);
      const { inserted, updated, deleted, configured } = begun ?? zero();
      // A copy: the digest before holds the first part of the transaction.
      const buckets = begun ? begun.buckets.slice() : new Uint8Array(fineBuckets / 8);
      commit = { gtid, customizationId, commitMs, inserted, updated, deleted, configured, buckets };
      this.#commits.set(key, commit);
    }
    return commit;
  }

  get commitCount(): number {
    return this.#commits.size;
  }

  commits(): SensedCommit[] {
    return [...this.#commits.values()].map((commit) => ({ ...commit, tenantId: this.tenantId }));
  }

  /** Commits of the last transaction, with their counts so far. */
  openCommits(): SensedCommit[] {
    const gtids = new Set([...this.#customizations.values()].map(({ lastGtid }) => lastGtid));
    return this.commits().filter(({ gtid }) => gtids.has(gtid));
  }

  /** Takes a later builder of the same tenant in. */
  absorb(later: DigestBuilder): void {
    for (const [id, theirs] of later.#customizations) {
      const ours = this.#customizations.get(id);
      if (!ours) this.#customizations.set(id, theirs);
      else {
        ours.inserted += theirs.inserted;
        ours.updated += theirs.updated;
        ours.deleted += theirs.deleted;
        ours.configured ||= theirs.configured;
        theirs.buckets.forEach((byte, i) => (ours.buckets[i] = (ours.buckets[i] ?? 0) | byte));
        ours.firstCommitMs = Math.min(ours.firstCommitMs, theirs.firstCommitMs);
        ours.lastCommitMs = Math.max(ours.lastCommitMs, theirs.lastCommitMs);
        ours.lastGtid = theirs.lastGtid === '' ? ours.lastGtid : theirs.lastGtid;
        ours.commit = theirs.commit ?? ours.commit;
      }
    }
    for (const [partition, theirs] of later.ranges) {
      const ours = this.ranges.get(partition);
      if (!ours) this.ranges.set(partition, theirs);
      else this.ranges.set(partition, { ...theirs, firstOffset: ours.firstOffset });
    }
    // The later builder began with the counts of the open transaction: its totals stand.
    for (const [key, theirs] of later.#commits) this.#commits.set(key, theirs);
  }

  build(): ChangeDigest {
    const customizations: Record<string, CustomizationChanges> = {};
    for (const [id, { buckets, inserted, updated, deleted, configured, firstCommitMs, lastCommitMs, lastGtid }] of this.#customizations)
      customizations[id] = {
        inserted,
        updated,
        deleted,
        configured,
        dirtyBuckets: Buffer.from(buckets).toString('hex'),
        firstCommitMs,
        lastCommitMs,
        lastGtid,
      };
    const ranges: Record<string, ChangeDigest['ranges'][string]> = {};
    for (const [partition, { firstOffset, lastOffset, last }] of this.ranges)
      ranges[partition] = { firstOffset: String(firstOffset), lastOffset: String(lastOffset), last };
    return { tenantId: this.tenantId, customizations, ranges };
  }
}
