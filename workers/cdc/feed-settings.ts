/** What every adapter of the change feed is told. */
export type FeedSettings = { readonly brokers: readonly string[]; readonly groupId: string; readonly topics: readonly string[] };

/** A killed consumer's partitions are free again after this: the least that a broker allows by default. */
export const sessionTimeoutMs = 6_000;
export const heartbeatIntervalMs = 2_000;
export const rebalanceTimeoutMs = 30_000;
/** A fetch returns at once when there is anything; idle ones cost this often. */
export const maxWaitMs = 1_000;
/** Compressed bytes of one fetch: a tenth of what they become. More costs memory and garbage collection and brings no speed. */
export const maxBytesPerPartition = 262_144;
export const maxBytes = 4_194_304;

/** A batch that is no longer ours: whoever reads the partition now reads it again. Ends the taking, and is not an error. */
export class BatchGone extends Error {
  override name = 'BatchGone';
}
