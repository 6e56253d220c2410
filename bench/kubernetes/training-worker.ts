import { writeFileSync } from 'node:fs';
import { Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { createKubernetesExecutor } from '../../activities/kubernetes/kubernetes-executor.ts';
import { watchJobs } from '../../activities/kubernetes/watched-jobs.ts';
import { createTrainActivity, createTrainingControl } from '../../activities/training/training-activities.ts';
import { loadCatalog } from '../../catalog/catalog.ts';
import { taskQueues } from '../../core/task-queues.ts';
import { loadConfig } from '../../platform/config.ts';
import { createLogger } from '../../platform/logger.ts';
import { createPool } from '../../platform/mysql.ts';
import { connectWorker } from '../../platform/temporal.ts';
import { installTemporalLogger } from '../../platform/temporal-logger.ts';
import { measured, nothingSeen } from './measured-executor.ts';
import { clusterAt, jobSettings, remoteOf, storeOf, tiers } from './scene.ts';

// The training worker of workers/training.ts in a process of its own, over the stand-in for the object store, and timed:
// `node bench/kubernetes/training-worker.ts KUBECONFIG SLOTS FIGURES`. Ends by SIGTERM and leaves what it saw in the file FIGURES.

const [kubeconfig = '', slots = '', figures = ''] = process.argv.slice(2);
const config = loadConfig();
const logger = createLogger('training', 'warn');
installTemporalLogger(logger);
const pool = createPool(config);
const cluster = clusterAt(kubeconfig);
const watched = watchJobs(cluster, logger);
const catalog = await loadCatalog(config.settings.MW_CATALOG_DIR);
const store = storeOf(watched);
const seen = nothingSeen();
const executor = createKubernetesExecutor({
  cluster,
  watched,
  tiers,
  catalog,
  settings: jobSettings,
  remote: remoteOf(watched),
  queues: null,
  clusterGrows: false,
});
const dependencies = {
  pool,
  store,
  addresses: store,
  catalog,
  executor: measured(executor, watched, seen),
  modelsDir: config.paths.modelsDir,
  trainerSource: 'bench',
  activity: () => {
    const context = Context.current();
    return {
      beat: (progress: unknown) => context.heartbeat(progress),
      signal: context.cancellationSignal,
      cancelled: () => context.cancellationDetails?.cancelRequested === true,
    };
  },
};
const connection = await connectWorker(config, new AbortController().signal);
const workers = [
  await Worker.create({
    connection,
    taskQueue: taskQueues.training,
    maxConcurrentActivityTaskExecutions: Number(slots),
    activities: createTrainActivity(dependencies),
    shutdownGraceTime: '1 second',
  }),
  await Worker.create({ connection, taskQueue: taskQueues.trainingControl, activities: createTrainingControl(dependencies) }),
];
process.once('SIGTERM', () => {
  writeFileSync(figures, JSON.stringify(seen));
  for (const worker of workers) worker.shutdown();
});
await Promise.all(workers.map(async (worker) => await worker.run()));
watched.close();
await connection.close();
await pool.end();
