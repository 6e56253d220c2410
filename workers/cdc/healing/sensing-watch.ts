import type { Client } from '@temporalio/client';
import type { Registry } from 'prom-client';
import { connectorConfig, connectorName } from '../../../infra/debezium/connector.ts';
import { sourceSchemaTopics } from '../../../infra/debezium/source-connector.ts';
import { readTopics } from '../../../infra/debezium/topics.ts';
import type { Config } from '../../../platform/config.ts';
import { createConnectClient } from '../../../platform/kafka-connect.ts';
import type { Logger } from '../../../platform/logger.ts';
import type { Pool } from '../../../platform/mysql.ts';
import type { ChangeFeed } from '../change-feed.ts';
import { signalMissed } from '../signal-tenant.ts';
import { aloneWithSources } from '../sources/sources-lock.ts';
import { conditionStore } from './condition-store.ts';
import type { Expected } from './facts.ts';
import { healingMetrics } from './healing-metrics.ts';
import { ReadingSeen } from './reading-seen.ts';
import { kafkaAdmin } from './kafka-admin.ts';
import { createWatch } from './watch.ts';

/** Connectors of mapped tables are made, changed and restarted by what keeps the mappings. */
const mappedPrefix = 'modelwright-source-';

/** What keeps them takes a step of each in less. */
const lockWaitSeconds = 10;

/** The watch with the real engines; what it needs of the consumer is how to see batches and how to commit offsets. */
export function sensingWatch(deps: {
  readonly config: Config;
  readonly pool: Pool;
  readonly temporal: Client;
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly feed: Pick<ChangeFeed, 'commit'>;
  readonly registry: Registry;
  readonly logger: Logger;
}) {
  const { config, pool, temporal, groupId, topics, feed, registry, logger } = deps;
  const { topicPrefix, brokers } = config.kafka;
  const known = readTopics(topicPrefix);
  const reading = new ReadingSeen();
  const ofSources = sourceSchemaTopics(topicPrefix);
  const history = `_schema_history_${topicPrefix}`;
  const expected: Expected = {
    connectorName,
    // The history of structures is missed under a name of its own.
    topics: known.map(({ name }) => name).filter((name) => name !== history),
    consumed: topics,
    keptByOthers: (name) => name.startsWith(mappedPrefix),
  };
  const watch = createWatch({
    pool,
    store: conditionStore(pool),
    connect: createConnectClient(config.connectUrl),
    kafka: kafkaAdmin({
      brokers,
      groupId,
      others: (all) => [...topics, history, topicPrefix, ...all.filter((name) => ofSources.test(name))],
    }),
    topicPrefix,
    topics: known,
    expected,
    wanted: (name) => (name === connectorName && config.connectorUser ? connectorConfig(config, config.connectorUser.password) : null),
    commit: (offsets) => feed.commit(offsets),
    undisturbed: (work) => aloneWithSources(pool, lockWaitSeconds, work),
    tellMissed: (tenantId, missed) => signalMissed(temporal, tenantId, missed),
    seen: () => reading.take(),
    metrics: healingMetrics(registry),
    logger,
  });
  return { ...watch, reading };
}
