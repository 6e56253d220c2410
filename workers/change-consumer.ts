import { Registry, collectDefaultMetrics } from 'prom-client';
import { loadConfig } from '../platform/config.ts';
import { startHealthServer } from '../platform/health-server.ts';
import { runProcess } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createPool } from '../platform/mysql.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { createFeed } from './cdc/create-feed.ts';
import { deadLetterTopic, kafkaDeadLetters } from './cdc/dead-letter.ts';
import { createKafka } from './cdc/kafkajs-feed.ts';
import { sensingMetrics } from './cdc/metrics.ts';
import { recordSensedCommits } from './cdc/sensed-commits.ts';
import { createSensing } from './cdc/sensing.ts';
import { signalMissed, signalTenant } from './cdc/signal-tenant.ts';

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
  const pool = createPool(config, { connectionLimit: 4 });
  const temporal = createTemporalClient(config);
  const kafka = createKafka(brokers, 'modelwright-change-consumer', logger);
  const deadLetters = kafkaDeadLetters(kafka, deadLetterTopic(topicPrefix));
  const feed = await createFeed(
    config.settings.MW_CHANGE_FEED,
    {
      brokers,
      groupId: `${topicPrefix}-change-consumer`,
      topics: [`${topicPrefix}.modelwright.examples`, `${topicPrefix}.modelwright.customizations`],
    },
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
  const sensing = createSensing({
    feed,
    deadLetters,
    recordCommits: (commits, sensedAtMs) => recordSensedCommits(pool, commits, sensedAtMs),
    signal: (digest) => signalTenant(temporal.client, digest),
    missed: (tenantId, missed) => signalMissed(temporal.client, tenantId, missed),
    metrics: sensingMetrics(registry),
    logger,
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
  await sensing.start();
  return [stopHealth, () => pool.end(), temporal.close, deadLetters.stop, () => sensing.stop(drainMs)];
});
