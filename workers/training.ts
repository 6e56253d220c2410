import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import { installationId } from '../activities/registry/installation.ts';
import { removeOrphanedCaches, sweepEveryMs } from '../activities/training/orphaned-caches.ts';
import { sourceDigest } from '../activities/training/trainer-digest.ts';
import { type TrainingDependencies, createTrainActivity, createTrainingControl } from '../activities/training/training-activities.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { taskQueues } from '../core/task-queues.ts';
import { createPool } from '../platform/mysql.ts';
import { projectDir } from '../platform/paths.ts';
import { openStore } from '../store/open-store.ts';
import { runWorker } from './activity-worker.ts';
import { probedGateway } from './gateway.ts';
import { kubernetesEngine, processEngine } from './training-engines.ts';

await runWorker(
  'training',
  ({ settings }) => settings.MW_TRAINING_PORT,
  async (config, _registry, logger) => {
    const pool = createPool(config);
    const { paths, settings } = config;
    const trainerDir = join(projectDir, 'trainer');
    const catalog = await loadCatalog(config.settings.MW_CATALOG_DIR);
    const store = openStore(config, pool);
    const engine =
      settings.MW_EXECUTOR === 'kubernetes'
        ? await kubernetesEngine(config, await installationId(pool), catalog, { store, seen: openStore(config, pool, true) }, logger)
        : await processEngine(config, trainerDir, store, logger);
    const dependencies: TrainingDependencies = {
      pool,
      store,
      addresses: engine.addresses,
      catalog,
      executor: engine.executor,
      modelsDir: paths.modelsDir,
      trainerSource: sourceDigest(trainerDir),
      activity: () => {
        const context = Context.current();
        return {
          beat: (progress) => context.heartbeat(progress),
          signal: context.cancellationSignal,
          cancelled: () => context.cancellationDetails?.cancelRequested === true,
        };
      },
    };
    const sweep = (): void =>
      void removeOrphanedCaches(pool, dependencies.executor).then(
        (gone) => gone.length > 0 && logger.info({ gone }, 'removed kept embeddings of deleted customizations'),
        (error: unknown) =>
          logger.warn({ err: error }, 'kept embeddings of deleted customizations were not looked for: the next sweep does it'),
      );
    sweep();
    const sweeping = setInterval(sweep, sweepEveryMs);
    return {
      workers: [
        {
          taskQueue: taskQueues.training,
          maxConcurrentActivityTaskExecutions: settings.MW_TRAINING_SLOTS,
          // With a heartbeat's answer comes the news that the run was paused or cancelled: without this, up to 48 s later.
          maxHeartbeatThrottleInterval: '2 seconds',
          activities: createTrainActivity(dependencies),
          // The job goes on without the worker, and the next one adopts it.
          shutdownGraceTime: '1 second',
        },
        {
          taskQueue: taskQueues.trainingControl,
          activities: createTrainingControl(dependencies),
          shutdownGraceTime: '10 seconds',
        },
      ],
      prepare: (signal) => probedGateway(config, pool, logger, signal),
      checks: [{ name: 'mysql', check: async () => void (await pool.query('SELECT 1')) }, ...engine.checks],
      close: async () => {
        clearInterval(sweeping);
        await engine.close();
        await pool.end();
      },
    };
  },
);
