import type { Logger } from '../platform/logger.ts';

/**
 * Does some work again and again, every so many milliseconds; a round that takes longer is not begun a second time, and one that fails is made again.
 * `work` says how much it did: where that is anything, `said.done` is told. Returns what stops it, when the last round has ended.
 */
export function repeat(
  everyMs: number,
  work: () => Promise<number>,
  logger: Pick<Logger, 'info' | 'warn'>,
  said: { readonly done: (count: number) => string; readonly failed: string },
): () => Promise<void> {
  let working: Promise<void> | null = null;
  const round = async (): Promise<void> => {
    try {
      const count = await work();
      if (count > 0) logger.info(said.done(count));
    } catch (error) {
      logger.warn({ err: error }, said.failed);
    } finally {
      working = null;
    }
  };
  const timer = setInterval(() => void (working ??= round()), everyMs);
  return async () => {
    clearInterval(timer);
    await working;
  };
}
