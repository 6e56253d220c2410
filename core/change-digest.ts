import type { DirtyBuckets } from './dirty-buckets.ts';

/** Where an event stands in the source's log; `row` counts the rows of one binlog event. */
export type LogPosition = {
  /** `uuid:number`, with `@epoch` after a reset of the log (core/gtid.ts), or '' where the source has no GTID. */
  readonly gtid: string;
  readonly file: string;
  readonly pos: number;
  readonly row: number;
};

/** Changes of one customization's examples. Counts may count a row twice after a redelivery: what is trained is decided by the dataset, not by them. */
export type CustomizationChanges = {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly dirtyBuckets: DirtyBuckets;
  /** Commit times in the source, Unix epoch milliseconds. */
  readonly firstCommitMs: number;
  readonly lastCommitMs: number;
  /** GTID of the last change. */
  readonly lastGtid: string;
  /** The customization itself (options, policy, state, existence) was changed. */
  readonly configured: boolean;
};

/** What one `changesSensed` signal carries: counts, dirty buckets and watermarks, never rows. A few hundred bytes. */
export type ChangeDigest = {
  readonly tenantId: string;
  readonly customizations: Readonly<Record<string, CustomizationChanges>>;
  /** By `topic/partition`: what the digest was counted from. */
  readonly ranges: Readonly<Record<string, { readonly firstOffset: string; readonly lastOffset: string; readonly last: LogPosition }>>;
};
