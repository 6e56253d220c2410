import { changedBucketsSince } from '../activities/dataset/changed-buckets.ts';
import { createDatasetActivities } from '../activities/dataset/dataset-activities.ts';
import { createTenantWorkflows } from '../activities/adapters/tenant-workflows.ts';
import { failure } from '../activities/failure.ts';
import { createVerificationActivities } from '../activities/verify/verification-activities.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { taskQueues } from '../core/task-queues.ts';
import { createPool } from '../platform/mysql.ts';
import { PredictorUnavailable, VersionNotServable, createPredictorClient } from '../platform/predictor-client.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { openStore } from '../store/open-store.ts';
import { beatOfActivity, runWorker } from './activity-worker.ts';
import { probedGateway } from './gateway.ts';
import { verificationMetrics } from './verification-metrics.ts';

/** Alternatives that a gate asks production for, as many as trainers give: for figures such as the mean reciprocal rank. */
const gateAlternatives = 5;
/** Each reads one bucket at a time: so many buckets are in memory at most. */
const concurrentActivities = 4;

await runWorker(
  'dataset',
  ({ settings }) => settings.MW_DATASET_PORT,
  async (config, registry, logger) => {
    const pool = createPool(config);
    const temporal = createTemporalClient(config);
    const store = openStore(config, pool);
    const common = {
      pool,
      store,
      catalog: await loadCatalog(config.settings.MW_CATALOG_DIR),
      maxTextChars: config.settings.MW_MAX_TEXT_CHARS,
      beat: beatOfActivity,
    };
    const tenants = createTenantWorkflows(temporal.client);
    const predictor = createPredictorClient(config);
    return {
      workers: [
        {
          taskQueue: taskQueues.dataset,
          maxConcurrentActivityTaskExecutions: concurrentActivities,
          activities: {
            ...createDatasetActivities({
              ...common,
              modelsDir: config.paths.modelsDir,
              changedBuckets: changedBucketsSince({ ...common, tenants }),
              predict: async ({ tenantId, customizationId }, version, inputs) => {
                try {
                  return (await predictor.predict({ tenantId, customizationId, version, inputs, topK: gateAlternatives })).outputs;
                } catch (error) {
                  if (error instanceof VersionNotServable)
                    throw failure('Corrupt', `v${version} cannot be loaded: ${error.message}`, error);
                  throw failure('Unavailable', 'the predictor does not answer: see `mw status`', error);
                }
              },
              timeEncoder: async ({ tenantId, customizationId }, version, { key, sha256 }) => {
                try {
                  return await predictor.latency({ tenantId, customizationId, version, graph: { key, sha256 } });
                } catch (error) {
                  // What cannot be looked at holds nothing back: a first version may be judged while the predictor is away.
                  if (error instanceof PredictorUnavailable || error instanceof VersionNotServable) return null;
                  throw error;
                }
              },
            }),
            ...createVerificationActivities({
              ...common,
              tenants,
              metrics: verificationMetrics(registry),
            }),
          },
          // An interrupted build costs a repeat of its scan; what it stored is found again.
          shutdownGraceTime: '5 seconds',
        },
      ],
      prepare: (signal) => probedGateway(config, pool, logger, signal),
      checks: [{ name: 'mysql', check: async () => void (await pool.query('SELECT 1')) }],
      close: async () => {
        await temporal.close();
        await pool.end();
      },
    };
  },
);
