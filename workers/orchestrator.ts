import { createControlActivities } from '../activities/registry/control-activities.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { taskQueues } from '../core/task-queues.ts';
import { createPool } from '../platform/mysql.ts';
import { runWorker } from './activity-worker.ts';
import { startLagMeter } from './lag-meter.ts';
import { cachedWorkflowBundle } from './workflow-bundle.ts';

await runWorker(
  'orchestrator',
  ({ settings }) => settings.MW_ORCHESTRATOR_PORT,
  async (config, registry, logger) => {
    const pool = createPool(config);
    const lagMeter = startLagMeter(pool, registry, logger);
    return {
      workers: [
        {
          taskQueue: taskQueues.orchestrator,
          workflowBundle: { codePath: await cachedWorkflowBundle(config.paths.home) },
          activities: createControlActivities({ pool, catalog: await loadCatalog(config.settings.MW_CATALOG_DIR) }),
          // Control activities take milliseconds: those that run at SIGTERM end by themselves.
          shutdownGraceTime: '10 seconds',
        },
      ],
      checks: [{ name: 'mysql', check: async () => void (await pool.query('SELECT 1')) }],
      close: async () => {
        await lagMeter.stop();
        await pool.end();
      },
    };
  },
);
