import { describe, expect, it } from 'vitest';
import { shared } from './shared.ts';

describe('an answer that is shared', () => {
  it('is asked for once, by however many, until it is too old', async () => {
    let asked = 0;
    const answer = shared(60_000, () => Promise.resolve(++asked));
    expect(await Promise.all([answer(), answer()])).toEqual([1, 1]);
    expect(await answer()).toBe(1);
    const stale = shared(5, () => Promise.resolve(++asked));
    const first = await stale();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([first, await stale()]).toEqual([2, 3]);
  });

  it('is not asked for again while it is awaited', async () => {
    let asked = 0;
    const { promise, resolve } = Promise.withResolvers<number>();
    const answer = shared(-1, () => (++asked, promise));
    const both = [answer(), answer()];
    resolve(7);
    expect(await Promise.all(both)).toEqual([7, 7]);
    expect(asked).toBe(1);
  });

  it('is asked for again after a failure', async () => {
    let asked = 0;
    const answer = shared(60_000, () => (++asked === 1 ? Promise.reject(new Error('away')) : Promise.resolve(asked)));
    await expect(Promise.all([answer(), answer()])).rejects.toThrow('away');
    expect(asked).toBe(1);
    expect(await answer()).toBe(2);
  });
});
