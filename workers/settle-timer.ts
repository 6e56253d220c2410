import type { Logger } from '../platform/logger.ts';

/**
 * Brings to each site of the store what it missed, every so many milliseconds; a round that takes longer is not begun a second time, and one that fails
 * is made again. Returns what stops it, when the last round has ended.
 */
export function settleEvery(everyMs: number, settle: () => Promise<number>, logger: Pick<Logger, 'info' | 'warn'>): () => Promise<void> {
  let settling: Promise<void> | null = null;
  const round = async (): Promise<void> => {
    try {
      const settled = await settle();
      if (settled > 0) logger.info({ settled }, 'brought to a site of the store what it had missed');
    } catch (error) {
      logger.warn({ err: error }, 'what a site of the store missed could not be brought there: it is tried again');
    } finally {
      settling = null;
    }
  };
  const timer = setInterval(() => void (settling ??= round()), everyMs);
  return async () => {
    clearInterval(timer);
    await settling;
  };
}
