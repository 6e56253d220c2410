import { Context } from '@temporalio/activity';
import { Worker, type WorkerOptions } from '@temporalio/worker';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { type Config, loadConfig } from '../platform/config.ts';
import { type ReadinessCheck, startHealthServer } from '../platform/health-server.ts';
import { runProcess } from '../platform/lifecycle.ts';
import { type Logger, createLogger } from '../platform/logger.ts';
import { connectWorker } from '../platform/temporal.ts';
import { installTemporalLogger } from '../platform/temporal-logger.ts';

/** What a worker process polls, and what is to be closed when it has stopped. */
export type WorkerParts = {
  readonly workers: readonly (Pick<
    WorkerOptions,
    'activities' | 'workflowBundle' | 'maxConcurrentActivityTaskExecutions' | 'maxHeartbeatThrottleInterval'
  > & {
    readonly taskQueue: string;
    readonly shutdownGraceTime: NonNullable<WorkerOptions['shutdownGraceTime']>;
  })[];
  /** What must have been done before the first task is taken; the process is live meanwhile, and not ready. */
  readonly prepare?: (signal: AbortSignal) => Promise<unknown>;
  readonly checks: readonly ReadinessCheck[];
  readonly close: () => Promise<void>;
};

/** Runs a worker process to its end: health server, Temporal connection, one worker a task queue, graceful stop. */
export async function runWorker(
  name: string,
  portOf: (config: Config) => number,
  wire: (config: Config, registry: Registry, logger: Logger) => Promise<WorkerParts>,
): Promise<void> {
  const config = loadConfig();
  const logger = createLogger(name, config.settings.MW_LOG_LEVEL);
  installTemporalLogger(logger);
  await runProcess(logger, async (signal) => {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const running: Worker[] = [];
    const parts = await wire(config, registry, logger);
    const polling: ReadinessCheck = {
      name: 'temporal',
      check: () =>
        running.length === parts.workers.length && running.every((worker) => worker.getState() === 'RUNNING')
          ? Promise.resolve()
          : Promise.reject(new Error('the worker is not polling: the store or Temporal does not answer, see its log')),
    };
    const stopHealth = await startHealthServer({
      host: config.settings.MW_BIND,
      port: portOf(config),
      registry,
      checks: [polling, ...parts.checks],
    });
    const [connection] = await Promise.all([connectWorker(config, signal), parts.prepare?.(signal)]);
    const { namespace } = config.temporal;
    for (const options of parts.workers) running.push(await Worker.create({ connection, namespace, ...options }));
    logger.info({ queues: parts.workers.map(({ taskQueue }) => taskQueue) }, 'polling');
    const ended = running.map((worker) =>
      worker.run().catch((error: unknown) => {
        logger.fatal({ err: error }, 'the worker ended: the supervisor starts it anew');
        process.exit(1);
      }),
    );
    return [
      stopHealth,
      () => parts.close(),
      () => connection.close(),
      async () => {
        for (const worker of running) worker.shutdown();
        await Promise.all(ended);
      },
    ];
  });
}

/** Says that the running activity lives, and throws when it is cancelled: a long piece of work must not outlive its wish. `progress` is what the Web UI shows. */
export function beatOfActivity(progress?: unknown): void {
  const context = Context.current();
  context.cancellationSignal.throwIfAborted();
  context.heartbeat(progress);
}
