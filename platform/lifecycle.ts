import type { Logger } from './logger.ts';

/** How long a process may take to stop after SIGTERM before it ends itself. */
const stopDeadlineMs = 20_000;

/**
 * Runs a process to its end: `start` gets a signal that aborts on SIGTERM or SIGINT and returns what must be stopped, in start order.
 * A second signal ends at once.
 */
export async function runProcess(logger: Logger, start: (signal: AbortSignal) => Promise<readonly (() => Promise<void>)[]>): Promise<void> {
  const controller = new AbortController();
  const asked = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => {
        if (controller.signal.aborted) process.exit(130);
        controller.abort(new Error(`stopped by ${name}`));
        resolve(name);
      });
    }
  });
  process.on('unhandledRejection', (error) => {
    logger.fatal({ err: error }, 'unhandled rejection');
    process.exit(1);
  });
  try {
    const stops = await start(controller.signal);
    logger.info({}, 'started');
    logger.info({ signal: await asked }, 'stopping');
    setTimeout(() => process.exit(1), stopDeadlineMs).unref();
    for (const stop of [...stops].reverse()) await stop();
    process.exit(0);
  } catch (error) {
    if (controller.signal.aborted) process.exit(0);
    logger.fatal({ err: error }, 'failed to start');
    process.exit(1);
  }
}
