import { Registry, collectDefaultMetrics } from 'prom-client';
import { loadConfig } from '../platform/config.ts';
import { startHealthServer } from '../platform/health-server.ts';
import { createConnectClient } from '../platform/kafka-connect.ts';
import { runProcess } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createPool } from '../platform/mysql.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { createFeed } from './cdc/create-feed.ts';
import { deadLetterTopic, kafkaDeadLetters } from './cdc/dead-letter.ts';
import { conditionStore } from './cdc/healing/condition-store.ts';
import { isOfCustomizations, reportTruncate } from './cdc/healing/report-truncate.ts';
import { sensingWatch } from './cdc/healing/sensing-watch.ts';
import { createKafka } from './cdc/kafkajs-feed.ts';
import { sensingMetrics } from './cdc/metrics.ts';
import { recordSensedCommits } from './cdc/sensed-commits.ts';
import { createSensing } from './cdc/sensing.ts';
import { recordTableEvent } from './cdc/schema/record-table-event.ts';
import { startSchemaSensing } from './cdc/schema/start-schema-sensing.ts';
import { signalMissed, signalTenant } from './cdc/signal-tenant.ts';
import { announceMapping } from './cdc/sources/announce-mapping.ts';
import { decodersOf } from './cdc/sources/decoders.ts';
import { KnownMappings } from './cdc/sources/mappings.ts';
import { createReconciler } from './cdc/sources/reconciler.ts';
import { sourceMetrics } from './cdc/sources/source-metrics.ts';
import { topicMaker } from './cdc/sources/source-topics.ts';

/** A stop waits this long for digests that are due within the second. */
const drainMs = 3_000;

/** Heartbeats come every two seconds. */
const silentLimitMs = 15_000;

const config = loadConfig();
const logger = createLogger('change-consumer', config.settings.MW_LOG_LEVEL);

await runProcess(logger, async (signal) => {
  const { topicPrefix, brokers } = config.kafka;
  const managedTopics = [`${topicPrefix}.modelwright.examples`, `${topicPrefix}.modelwright.customizations`];
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const pool = createPool(config, { connectionLimit: 6 });
  const temporal = createTemporalClient(config);
  const kafka = createKafka(brokers, 'modelwright-change-consumer', logger);
  const deadLetters = kafkaDeadLetters(kafka, deadLetterTopic(topicPrefix));
  const metrics = sensingMetrics(registry);
  const rowsGroupId = `${topicPrefix}-change-consumer`;
  const onCrash = (error: Error): void => {
    logger.fatal({ err: error }, 'the change feed cannot go on: ending, so that the supervisor starts it anew');
    process.exit(1);
  };
  const feed = await createFeed(
    config.settings.MW_CHANGE_FEED,
    {
      brokers,
      groupId: rowsGroupId,
      topics: managedTopics,
    },
    {
      kafka,
      logger,
      signal,
      onCrash,
    },
  );
  const watch = sensingWatch({
    config,
    pool,
    temporal: temporal.client,
    groupId: rowsGroupId,
    topics: managedTopics,
    feed,
    registry,
    logger,
  });
  const mappings = new KnownMappings(pool);
  const sensing = createSensing({
    feed,
    decoderOf: decodersOf({ mappings, sourcePrefix: `${topicPrefix}-source-`, onConfigured: () => reconciler.wake(), logger }),
    deadLetters,
    recordCommits: (commits, sensedAtMs) => recordSensedCommits(pool, commits, sensedAtMs),
    signal: (digest) => signalTenant(temporal.client, digest),
    missed: (tenantId, missed) => signalMissed(temporal.client, tenantId, missed),
    recordTruncate: (event) => (isOfCustomizations(event) ? reportTruncate(conditionStore(pool), event) : recordTableEvent(pool, event)),
    metrics,
    logger,
    onBatch: (batch) => watch.reading.note(batch),
    onRewound: () => watch.reading.rewound(),
    onSnapshotRow: (topic) => watch.reading.snapshotRow(topic),
  });
  const schema = await startSchemaSensing(
    { feed: config.settings.MW_CHANGE_FEED, topicPrefix, brokers, rowsGroupId },
    {
      kafka,
      pool,
      client: temporal.client,
      deadLetters,
      metrics,
      logger,
      signal,
      onCrash,
      onStructureFound: (topic, offset) => watch.reading.structureFound(topic, offset),
    },
  );
  const reconciler = createReconciler({
    config,
    pool,
    mappings,
    connect: createConnectClient(config.connectUrl),
    createTopics: topicMaker(kafka),
    setTopics: (topics) => feed.setTopics([...managedTopics, ...topics]),
    observe: sourceMetrics(registry),
    announce: (mapping) => announceMapping(temporal.client, mapping),
    logger,
    signal,
  });
  const stopHealth = await startHealthServer({
    host: config.settings.MW_BIND,
    port: config.settings.MW_CHANGE_CONSUMER_PORT,
    registry,
    checks: [
      {
        name: 'feed',
        check: async () => {
          const silentMs = sensing.silentMs();
          if (silentMs === null) throw new Error('not reading yet: Kafka or its topics are not there');
          if (silentMs > silentLimitMs) throw new Error(`Kafka has not answered for ${Math.round(silentMs / 1_000)} s`);
        },
      },
      {
        name: 'handover',
        check: () =>
          sensing.refusals() + schema.failures() === 0
            ? Promise.resolve()
            : Promise.reject(new Error(`MySQL or Temporal refused ${sensing.refusals() + schema.failures()} times: see the log`)),
      },
    ],
  });
  await watch.start();
  await sensing.start();
  reconciler.start();
  return [
    stopHealth,
    () => pool.end(),
    temporal.close,
    deadLetters.stop,
    () => schema.stop(),
    () => sensing.stop(drainMs),
    reconciler.stop,
    () => watch.stop(),
  ];
});
