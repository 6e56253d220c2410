import { Worker } from '@temporalio/worker';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { createControlActivities } from '../activities/registry/control-activities.ts';
import { taskQueues } from '../core/task-queues.ts';
import { loadConfig } from '../platform/config.ts';
import { startHealthServer } from '../platform/health-server.ts';
import { runProcess } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createPool } from '../platform/mysql.ts';
import { connectWorker } from '../platform/temporal.ts';
import { installTemporalLogger } from '../platform/temporal-logger.ts';
import { cachedWorkflowBundle } from './workflow-bundle.ts';

/** Control activities take milliseconds: those that run at SIGTERM end by themselves. */
const shutdownGrace = '10 seconds';

const config = loadConfig();
const logger = createLogger('orchestrator', config.settings.MW_LOG_LEVEL);

installTemporalLogger(logger);
await runProcess(logger, async (signal) => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const pool = createPool(config);
  let worker: Worker | null = null;
  const stopHealth = await startHealthServer({
    host: config.settings.MW_BIND,
    port: config.settings.MW_ORCHESTRATOR_PORT,
    registry,
    checks: [
      {
        name: 'temporal',
        check: () =>
          worker?.getState() === 'RUNNING'
            ? Promise.resolve()
            : Promise.reject(new Error('the worker is not polling: Temporal does not answer')),
      },
      { name: 'mysql', check: async () => void (await pool.query('SELECT 1')) },
    ],
  });
  const codePath = await cachedWorkflowBundle(config.paths.home);
  const connection = await connectWorker(config, signal);
  worker = await Worker.create({
    connection,
    namespace: config.temporal.namespace,
    taskQueue: taskQueues.orchestrator,
    workflowBundle: { codePath },
    activities: createControlActivities({ pool }),
    shutdownGraceTime: shutdownGrace,
  });
  const ended = worker.run().catch((error: unknown) => {
    logger.fatal({ err: error }, 'the worker ended: the supervisor starts it anew');
    process.exit(1);
  });
  const running = worker;
  return [
    stopHealth,
    () => pool.end(),
    () => connection.close(),
    async () => {
      running.shutdown();
      await ended;
    },
  ];
});
