import { createForgettingActivities } from '../activities/forgetting/forgetting-activities.ts';
import { createShardingActivities } from '../activities/sharding/sharding-activities.ts';
import { lockPromoted } from '../activities/store-care/lock-promoted.ts';
import { settleSites } from '../activities/store-care/settle-sites.ts';
import { createStoreCareActivities } from '../activities/store-care/store-care-activities.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { taskQueues } from '../core/task-queues.ts';
import { signerOf } from '../platform/config.ts';
import { createPool } from '../platform/mysql.ts';
import { createPredictorClient } from '../platform/predictor-client.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { openStore } from '../store/open-store.ts';
import { beatOfActivity, runWorker } from './activity-worker.ts';
import { countStore, storeMetrics } from './store-metrics.ts';
import { repeat } from './repeat.ts';
import { createKafka } from './cdc/kafkajs-feed.ts';
import { probedGateway } from './gateway.ts';
import { keptElsewhere } from './kept-elsewhere.ts';

/** What one site of the store missed is brought there when it answers again; promoted versions are locked. */
const settleEveryMs = 60_000;
const lockEveryMs = 60_000;
const dayMs = 86_400_000;
/** Each holds two and a half times MW_SHARD_BYTES at most. */
const concurrentActivities = 4;

await runWorker(
  'sharding',
  ({ settings }) => settings.MW_SHARDING_PORT,
  async (config, registry, logger) => {
    const pool = createPool(config);
    const store = openStore(config, pool);
    const { modelsDir } = config.paths;
    const catalog = await loadCatalog(config.settings.MW_CATALOG_DIR);
    const signer = signerOf(config);
    const temporal = createTemporalClient(config);
    const { brokers, topicPrefix } = config.kafka;
    const engines = {
      kafka: createKafka(brokers, 'modelwright-sharding', logger),
      topicPrefix,
      temporal: temporal.client,
      namespace: config.temporal.namespace,
    };
    storeMetrics(registry, () =>
      countStore(
        pool,
        (store.sites ?? []).map(({ name }) => name),
      ),
    );
    const stopSettling = store.sites
      ? repeat(settleEveryMs, () => settleSites(pool, store, () => undefined), logger, {
          done: (settled) => `${settled} objects that a site of the store had missed were brought there`,
          failed: 'what a site of the store missed could not be brought there: it is tried again',
        })
      : null;
    const lockMs = config.settings.MW_OBJECT_LOCK_DAYS * dayMs;
    const stopLocking =
      lockMs > 0
        ? repeat(lockEveryMs, () => lockPromoted({ pool, store, lockMs, beat: () => undefined }), logger, {
            done: (locked) => `${locked} promoted versions were locked in the store`,
            failed: 'promoted versions could not be locked: it is tried again',
          })
        : null;
    return {
      workers: [
        {
          taskQueue: taskQueues.sharding,
          maxConcurrentActivityTaskExecutions: concurrentActivities,
          activities: {
            ...createShardingActivities({
              pool,
              store,
              catalog,
              modelsDir,
              predictor: createPredictorClient(config),
              signer,
              shardBytes: config.settings.MW_SHARD_BYTES,
              beat: beatOfActivity,
            }),
            ...createStoreCareActivities({
              pool,
              store,
              modelsDir,
              shardBytes: config.settings.MW_SHARD_BYTES,
              retention: {
                keepVersions: config.settings.MW_KEEP_VERSIONS,
                graceMs: config.settings.MW_GC_GRACE_HOURS * 3_600_000,
                lockMs,
              },
              scrubRounds: config.settings.MW_SCRUB_ROUNDS,
              beat: beatOfActivity,
            }),
            ...createForgettingActivities({
              pool,
              store,
              catalog,
              maxTextChars: config.settings.MW_MAX_TEXT_CHARS,
              signer,
              kept: keptElsewhere(engines, config.settings.MW_BACKUP_DAYS ?? null),
              beat: beatOfActivity,
            }),
          },
          shutdownGraceTime: '5 seconds',
        },
      ],
      prepare: (signal) => probedGateway(config, pool, logger, signal),
      checks: [{ name: 'mysql', check: async () => void (await pool.query('SELECT 1')) }],
      close: async () => {
        await Promise.all([stopSettling?.(), stopLocking?.()]);
        await temporal.close();
        await pool.end();
      },
    };
  },
);
