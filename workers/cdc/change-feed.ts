/** One partition of one change topic. */
export type FeedPartition = { readonly topic: string; readonly partition: number };

export type FeedRecord = {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Debezium sets none but `epochHeader`; those of our own tools begin with `mw-` too. */
  readonly headers?: { readonly [name: string]: unknown };
};

/** Set by the connector after a reset of the source's log (docs/adr/0005-log-epochs.md). */
export const epochHeader = 'mw-epoch';
export const epochOf = ({ headers }: FeedRecord): number =>
  headers !== undefined && epochHeader in headers ? Number(String(headers[epochHeader])) : 0;

export type FeedBatch = FeedPartition & { readonly records: readonly FeedRecord[] };

export type FeedHandler = {
  /**
   * Takes records of one partition, in order. The feed reads on when the promise resolves: a promise that stays pending is the backpressure.
   * While it waits it calls `alive` every few seconds, which keeps the membership and throws when the batch is no longer ours.
   */
  readonly take: (batch: FeedBatch, alive: () => Promise<void>) => Promise<void>;
  /** The brokers answer: the feed is alive, whether or not there is anything to read. */
  readonly seen: () => void;
  /** Everything that was not committed will be delivered again, here or elsewhere: forget it. */
  readonly rewound: () => void;
};

/** Source of change events: at least once, in order within a partition, from the last committed offset. */
export type ChangeFeed = {
  /** Resolves when reading has begun; a later end that cannot be mended ends the process. */
  readonly start: (handler: FeedHandler) => Promise<void>;
  /**
   * Replaces the set of topics that are read; may be called while running. A topic that does not exist yet is waited for in the
   * background without holding up the others; offsets of topics that stay are kept. Resolves when those that exist are read.
   */
  readonly setTopics: (topics: readonly string[]) => Promise<void>;
  /** `offset` is the next one to be delivered after a restart. Never throws for a partition that has moved elsewhere. */
  readonly commit: (offsets: readonly (FeedPartition & { readonly offset: string })[]) => Promise<void>;
  readonly stop: () => Promise<void>;
};

export const partitionKey = ({ topic, partition }: FeedPartition): string => `${topic}/${partition}`;
export function parsePartitionKey(key: string): FeedPartition {
  const slash = key.lastIndexOf('/');
  return { topic: key.slice(0, slash), partition: Number(key.slice(slash + 1)) };
}
