import type { Client } from '@temporalio/client';
import type { Kafka } from 'kafkajs';
import { sourceSchemaTopics } from '../../../infra/debezium/source-connector.ts';
import type { Logger } from '../../../platform/logger.ts';
import type { Pool } from '../../../platform/mysql.ts';
import type { DeadLetters } from '../dead-letter.ts';
import { type FeedName, createFeed } from '../create-feed.ts';
import type { SensingMetrics } from '../metrics.ts';
import { signalSchemaChanged } from '../signal-tenant.ts';
import { recordTableEvent } from './record-table-event.ts';
import { kafkaRowBarrier } from './row-barrier.ts';
import { createSchemaSensing } from './schema-sensing.ts';
import { createSchemaTelling } from './tell-schema-changes.ts';
import { markTold, untoldChanges } from './untold-changes.ts';

/** A new mapped database brings its schema-change topic: looked for this often. */
const topicsIntervalMs = 10_000;

export type SchemaSensingSettings = {
  readonly feed: FeedName;
  readonly topicPrefix: string;
  readonly brokers: readonly string[];
  readonly rowsGroupId: string;
};

/** Reads DDL of our own tables and of every mapped database, puts it on record, and tells the tenants. */
export async function startSchemaSensing(
  { feed: feedName, topicPrefix, brokers, rowsGroupId }: SchemaSensingSettings,
  deps: {
    readonly kafka: Kafka;
    readonly pool: Pool;
    readonly client: Client;
    readonly deadLetters: Pick<DeadLetters, 'park'>;
    readonly metrics: SensingMetrics;
    readonly logger: Logger;
    readonly signal: AbortSignal;
    readonly onCrash: (error: Error) => void;
    readonly onStructureFound: (topic: string, offset: string) => void;
  },
) {
  const { kafka, pool, client, deadLetters, metrics, logger, signal, onCrash, onStructureFound } = deps;
  const groupId = `${topicPrefix}-schema-consumer`;
  const feed = await createFeed(feedName, { brokers, groupId, topics: [topicPrefix] }, { kafka, logger, signal, onCrash });
  const barrier = kafkaRowBarrier(kafka, { topicPrefix, groupId: rowsGroupId });
  const sensing = createSchemaSensing({
    feed,
    deadLetters,
    record: (event) => recordTableEvent(pool, event),
    metrics,
    logger,
    onStructureFound,
  });
  const telling = createSchemaTelling({
    untold: (limit) => untoldChanges(pool, limit),
    markTold: (change) => markTold(pool, change),
    signal: ({ tenantId, change }) => signalSchemaChanged(client, tenantId, change),
    barrier,
    logger,
  });
  const isSourceTopic = sourceSchemaTopics(topicPrefix);
  const admin = kafka.admin();
  const lookForTopics = async (): Promise<void> => {
    try {
      await admin.connect();
      await feed.setTopics([topicPrefix, ...(await admin.listTopics()).filter((topic) => isSourceTopic.test(topic)).sort()]);
    } catch (error) {
      logger.debug({ err: error }, 'Kafka did not say which schema-change topics exist');
    }
  };
  // It waits until the topics exist: nothing else has to wait for that.
  const started = sensing.start().then(lookForTopics);
  started.catch((error: unknown) => (signal.aborted ? undefined : onCrash(error instanceof Error ? error : new Error(String(error)))));
  const looking = setInterval(() => void lookForTopics(), topicsIntervalMs);
  telling.start();
  return {
    failures: telling.failures,
    async stop(): Promise<void> {
      clearInterval(looking);
      await telling.stop();
      await sensing.stop();
      await Promise.all([barrier.stop(), admin.disconnect()]);
    },
  };
}
