import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { repeat } from './repeat.ts';

it('works again and again, never twice at once, goes on after a failure, and ends with its last round', async () => {
  const told: string[] = [];
  const logger = {
    info: (line: unknown) => void told.push(`info ${String(line)}`),
    warn: (_: unknown, line?: string) => void told.push(`warn ${line}`),
  };
  let atOnce = 0;
  let most = 0;
  let rounds = 0;
  const stop = repeat(
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
    { done: (count) => `did ${count}`, failed: 'tried again' },
  );
  await expect.poll(() => rounds, { timeout: 60_000 }).toBeGreaterThanOrEqual(4);
  await stop();
  const ended = rounds;
  expect(atOnce).toBe(0);
  expect(most).toBe(1);
  expect(told).toEqual(['warn tried again', 'info did 5']);
  await sleep(20);
  expect(rounds).toBe(ended);
});
