import type { ChangeFeed, FeedHandler, FeedRecord } from '../../workers/cdc/change-feed.ts';

/** A feed that a test drives by hand; it keeps what was committed. */
export class HandFeed implements ChangeFeed {
  handler: FeedHandler | null = null;
  readonly committed = new Map<string, string>();
  topics: readonly string[] = [];
  start = async (handler: FeedHandler): Promise<void> => {
    this.handler = handler;
  };
  setTopics = async (topics: readonly string[]): Promise<void> => {
    this.topics = topics;
  };
  commit: ChangeFeed['commit'] = async (offsets) => {
    for (const { topic, partition, offset } of offsets) this.committed.set(`${topic}/${partition}`, offset);
  };
  stop = async (): Promise<void> => undefined;
  deliver = (records: readonly FeedRecord[]): Promise<void> =>
    this.handler?.take({ topic: 'examples', partition: 0, records }, () => Promise.resolve()) ?? Promise.resolve();
}
