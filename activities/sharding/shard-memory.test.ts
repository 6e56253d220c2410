import { describe, expect, it } from 'vitest';
import { ShardMemory } from './shard-memory.ts';

/** Whether it has settled once everything that could go on has. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

describe('the memory of shards', () => {
  it('lends parts that do not overlap, and lets wait whom there is no room for', async () => {
    const memory = new ShardMemory(100);
    const [a, b] = [await memory.take(60, 'end'), await memory.take(40, 'anywhere')];
    expect([a.from, b.from]).toEqual([0, 60]);
    const third = memory.take(30, 'anywhere');
    expect(await settled(third)).toBe(false);
    memory.give(b);
    expect((await third).from).toBe(60);
  });

  it('has room beside a part that stays, whatever came and went', async () => {
    const memory = new ShardMemory(100);
    const first = await memory.take(10, 'anywhere');
    const staying = await memory.take(50, 'end');
    // Not behind the first, where it would cut the rest in two.
    expect(staying.from).toBe(50);
    const late = memory.take(50, 'anywhere');
    expect(await settled(late)).toBe(false);
    memory.give(first);
    expect((await late).from).toBe(0);
  });

  it('lets nobody wait for work that has failed', async () => {
    const memory = new ShardMemory(10);
    await memory.take(10, 'end');
    const waiting = memory.take(1, 'anywhere');
    memory.stop(new Error('storing failed'));
    await expect(waiting).rejects.toThrow('storing failed');
    expect(() => memory.throwIfStopped()).toThrow('storing failed');
  });
});
