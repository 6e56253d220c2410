import { Registry, collectDefaultMetrics } from 'prom-client';
import { loadConfig } from '../platform/config.ts';
import { startHealthServer } from '../platform/health-server.ts';
import { runProcess } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createPool } from '../platform/mysql.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { kafkaDeadLetters } from './cdc/dead-letter.ts';
import { sensingWatch } from './cdc/healing/sensing-watch.ts';
import { createKafka, kafkajsFeed } from './cdc/kafkajs-feed.ts';
import { sensingMetrics } from './cdc/metrics.ts';
import { recordSensedCommits } from './cdc/sensed-commits.ts';
import { createSensing } from './cdc/sensing.ts';
import { signalTenant } from './cdc/signal-tenant.ts';

/** A stop waits this long for digests that are due within the second. */
const drainMs = 3_000;

/** Heartbeats come every two seconds. */
const silentLimitMs = 15_000;

const config = loadConfig();
const logger = createLogger('change-consumer', config.settings.MW_LOG_LEVEL);

await runProcess(logger, async (signal) => {
  const { topicPrefix, brokers } = config.kafka;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const pool = createPool(config, { connectionLimit: 6 });
  const temporal = createTemporalClient(config);
  const kafka = createKafka(brokers, 'modelwright-change-consumer', logger);
  const deadLetters = kafkaDeadLetters(kafka, `${topicPrefix}.dead-letter`);
  const groupId = `${topicPrefix}-change-consumer`;
  const topics = [`${topicPrefix}.modelwright.examples`, `${topicPrefix}.modelwright.customizations`];
  const feed = kafkajsFeed(
    { brokers, groupId, topics },
    {
      kafka,
      logger,
      signal,
      onCrash(error) {
        logger.fatal({ err: error }, 'the change feed cannot go on: ending, so that the supervisor starts it anew');
        process.exit(1);
      },
    },
  );
  const watch = sensingWatch({ config, pool, temporal: temporal.client, groupId, topics, feed, registry, logger });
  const sensing = createSensing({
    feed,
    deadLetters,
    recordCommits: (commits, sensedAtMs) => recordSensedCommits(pool, commits, sensedAtMs),
    signal: (digest) => signalTenant(temporal.client, digest),
    metrics: sensingMetrics(registry),
    logger,
    onBatch: (batch) => watch.reading.note(batch),
    onRewound: () => watch.reading.rewound(),
    onSnapshotRow: (topic) => watch.reading.snapshotRow(topic),
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
          sensing.refusals() === 0
            ? Promise.resolve()
            : Promise.reject(new Error(`MySQL or Temporal refused ${sensing.refusals()} times: see the log`)),
      },
    ],
  });
  await watch.start();
  await sensing.start();
  return [stopHealth, () => pool.end(), temporal.close, deadLetters.stop, () => sensing.stop(drainMs), () => watch.stop()];
});
