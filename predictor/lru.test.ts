import { describe, expect, it } from 'vitest';
import { LruLoader } from './lru.ts';

describe('the model cache', () => {
  it('loads once however many ask, and lets go of what was used longest ago', async () => {
    const evicted: string[] = [];
    let loads = 0;
    const cache = new LruLoader<{ bytes: number; name: string }>(20, ({ name }) => evicted.push(name));
    const load = (name: string) => async () => {
      loads += 1;
      return await Promise.resolve({ bytes: 10, name });
    };
    await Promise.all([cache.get('a', load('a')), cache.get('a', load('a'))]);
    expect(loads).toBe(1);
    await cache.get('b', load('b'));
    await cache.get('a', load('a'));
    await cache.get('c', load('c'));
    await Promise.resolve();
    expect(evicted).toEqual(['b']);
    expect(cache.bytes).toBe(20);
  });

  it('tries again after a load that failed, and keeps a value that is larger than the cache', async () => {
    const cache = new LruLoader<{ bytes: number }>(5);
    await expect(cache.get('a', () => Promise.reject(new Error('away')))).rejects.toThrow('away');
    expect(await cache.get('a', () => Promise.resolve({ bytes: 10 }))).toEqual({ bytes: 10 });
    expect(cache.bytes).toBe(10);
  });
});
