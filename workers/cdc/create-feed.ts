import type { Kafka } from 'kafkajs';
import type { Logger } from '../../platform/logger.ts';
import type { ChangeFeed } from './change-feed.ts';
import type { FeedSettings } from './feed-settings.ts';
import { createKafka, kafkajsFeed } from './kafkajs-feed.ts';

export type FeedName = 'kafkajs' | 'platformatic';

export type FeedDeps = {
  readonly logger: Logger;
  /** Reading has ended and will not begin again in this process. */
  readonly onCrash: (error: Error) => void;
  readonly signal: AbortSignal;
};

/** The change feed by the client that MW_CHANGE_FEED names. */
export async function createFeed(name: FeedName, settings: FeedSettings, deps: FeedDeps & { readonly kafka?: Kafka }): Promise<ChangeFeed> {
  if (name === 'kafkajs') {
    const kafka = deps.kafka ?? createKafka(settings.brokers, 'modelwright-change-consumer', deps.logger);
    return kafkajsFeed(settings, { ...deps, kafka });
  }
  // Loaded where it is used: the other client stays out of memory.
  const { platformaticFeed } = await import('./platformatic-feed.ts');
  return platformaticFeed(settings, deps);
}
