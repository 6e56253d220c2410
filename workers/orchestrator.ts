import { createControlActivities } from '../activities/registry/control-activities.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { taskQueues } from '../core/task-queues.ts';
import { createPool } from '../platform/mysql.ts';
import { runWorker } from './activity-worker.ts';
import { cachedWorkflowBundle } from './workflow-bundle.ts';

await runWorker(
  'orchestrator',
  ({ settings }) => settings.MW_ORCHESTRATOR_PORT,
  async (config) => {
    const pool = createPool(config);
    return {
      workers: [
        {
          taskQueue: taskQueues.orchestrator,
          workflowBundle: { codePath: await cachedWorkflowBundle(config.paths.home) },
          activities: createControlActivities({ pool, catalog: loadCatalog() }),
          // Control activities take milliseconds: those that run at SIGTERM end by themselves.
          shutdownGraceTime: '10 seconds',
        },
      ],
      checks: [{ name: 'mysql', check: async () => void (await pool.query('SELECT 1')) }],
      close: () => pool.end(),
    };
  },
);
