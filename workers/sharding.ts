import { createShardingActivities } from '../activities/sharding/sharding-activities.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { taskQueues } from '../core/task-queues.ts';
import { createPool } from '../platform/mysql.ts';
import { createPredictorClient } from '../platform/predictor-client.ts';
import { createS3Client } from '../platform/s3.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { beatOfActivity, runWorker } from './activity-worker.ts';
import { probedGateway } from './gateway.ts';

/** Each holds one shard in memory. */
const concurrentActivities = 4;

await runWorker(
  'sharding',
  ({ settings }) => settings.MW_SHARDING_PORT,
  async (config, _registry, logger) => {
    await probedGateway(config, logger);
    const pool = createPool(config);
    return {
      workers: [
        {
          taskQueue: taskQueues.sharding,
          maxConcurrentActivityTaskExecutions: concurrentActivities,
          activities: createShardingActivities({
            pool,
            store: createS3ObjectStore(createS3Client(config), config.s3.bucket),
            catalog: await loadCatalog(config.settings.MW_CATALOG_DIR),
            modelsDir: config.paths.modelsDir,
            predictor: createPredictorClient(config),
            beat: beatOfActivity,
          }),
          shutdownGraceTime: '5 seconds',
        },
      ],
      checks: [{ name: 'mysql', check: async () => void (await pool.query('SELECT 1')) }],
      close: () => pool.end(),
    };
  },
);
