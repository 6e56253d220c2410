import { nowMs } from '../../platform/clock.ts';

/** A question that takes long to answer is not asked again before so many times as long: it costs a twentieth of our time at most. */
const restFactor = 20;

/** One answer for all who ask within a time: thousands of jobs want to know the same of the cluster. A failure is told to those who wait for it, and not kept. */
export function shared<T>(forMs: number, work: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  let nextMs = 0;
  const ask = async (): Promise<T> => {
    const startedMs = nowMs();
    nextMs = Number.POSITIVE_INFINITY;
    try {
      const found = await work();
      nextMs = startedMs + Math.max(forMs, (nowMs() - startedMs) * restFactor);
      return found;
    } catch (error) {
      answer = null;
      throw error;
    }
  };
  return async () => {
    if (answer === null || nowMs() > nextMs) answer = ask();
    return await answer;
  };
}
