import { Registry } from 'prom-client';
import type { ChangeDigest } from '../../core/change-digest.ts';
import type { Config } from '../../platform/config.ts';
import { createLogger } from '../../platform/logger.ts';
import { createPool } from '../../platform/mysql.ts';
import { createTemporalClient } from '../../platform/temporal.ts';
import type { FeedBatch } from '../../workers/cdc/change-feed.ts';
import { createFeed } from '../../workers/cdc/create-feed.ts';
import { sensingMetrics } from '../../workers/cdc/metrics.ts';
import { recordSensedCommits } from '../../workers/cdc/sensed-commits.ts';
import { createSensing } from '../../workers/cdc/sensing.ts';
import { signalTenant } from '../../workers/cdc/signal-tenant.ts';

export type Observed = {
  readonly taken?: (batch: FeedBatch) => void;
  readonly recorded?: (tenantIds: readonly string[]) => void;
  readonly accepted?: (digest: ChangeDigest) => void;
};

/** The change consumer with its real adapters, in this process, and somebody who watches. */
export async function startConsumer(config: Config, groupId: string, observed: Observed): Promise<{ readonly stop: () => Promise<void> }> {
  const logger = createLogger('bench', 'error');
  const pool = createPool(config, { connectionLimit: 4 });
  const temporal = createTemporalClient(config);
  const feed = await createFeed(
    config.settings.MW_CHANGE_FEED,
    { brokers: config.kafka.brokers, groupId, topics: [`${config.kafka.topicPrefix}.modelwright.examples`] },
    {
      logger,
      onCrash(error) {
        throw error;
      },
      signal: new AbortController().signal,
    },
  );
  const sensing = createSensing({
    feed: {
      ...feed,
      start: (handler) =>
        feed.start({
          ...handler,
          take: (batch, alive) => {
            observed.taken?.(batch);
            return handler.take(batch, alive);
          },
        }),
    },
    deadLetters: { park: (_from, { offset }, reason) => Promise.reject(new Error(`${offset}: ${reason}`)) },
    recordTruncate: () => Promise.reject(new Error('no table is truncated here')),
    recordCommits: async (commits, sensedAtMs) => {
      await recordSensedCommits(pool, commits, sensedAtMs);
      observed.recorded?.(commits.map(({ tenantId }) => tenantId));
    },
    signal: async (digest) => {
      await signalTenant(temporal.client, digest);
      observed.accepted?.(digest);
    },
    missed: () => Promise.resolve(),
    metrics: sensingMetrics(new Registry()),
    logger,
  });
  await sensing.start();
  return {
    async stop() {
      await sensing.stop(5_000);
      await temporal.close();
      await pool.end();
    },
  };
}
