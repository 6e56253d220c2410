import { nowMs } from '../../platform/clock.ts';

/** One answer for all who ask within a time: thousands of jobs want to know the same of the cluster. A failure is told to those who wait for it, and not kept. */
export function shared<T>(forMs: number, work: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  let askedMs = 0;
  return async () => {
    if (answer === null || nowMs() - askedMs > forMs) {
      askedMs = nowMs();
      const asked = work();
      answer = asked;
      asked.catch(() => {
        if (answer === asked) answer = null;
      });
    }
    return await answer;
  };
}
