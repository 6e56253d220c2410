import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { settleEvery } from './settle-timer.ts';

it('settles again and again, never twice at once, goes on after a failure, and ends with its last round', async () => {
  const told: string[] = [];
  const logger = {
    info: (_: unknown, line?: string) => void told.push(`info ${line}`),
    warn: (_: unknown, line?: string) => void told.push(`warn ${line}`),
  };
  let atOnce = 0;
  let most = 0;
  let rounds = 0;
  const stop = settleEvery(
    2,
    async () => {
      most = Math.max(most, ++atOnce);
      const round = ++rounds;
      await sleep(20);
      atOnce--;
      if (round === 1) throw new Error('MySQL is away');
      return round === 2 ? 5 : 0;
    },
    logger,
  );
  await expect.poll(() => rounds, { timeout: 60_000 }).toBeGreaterThanOrEqual(4);
  await stop();
  const ended = rounds;
  expect(atOnce).toBe(0);
  expect(most).toBe(1);
  expect(told).toEqual([expect.stringMatching(/^warn .*tried again/), expect.stringMatching(/^info brought/)]);
  await sleep(20);
  expect(rounds).toBe(ended);
});
