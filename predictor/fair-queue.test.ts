import { describe, expect, it } from 'vitest';
import { FairQueue } from './fair-queue.ts';

const one = (): number => 1;
const many = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`);

describe('the queue of an encoder', () => {
  it('lets a text of another tenant into the very next batch, however many wait before it', () => {
    const queue = new FairQueue<string>();
    queue.add('large', many('l', 1_000));
    expect(queue.take(8, one)).toEqual(many('l', 8));
    queue.add('small', ['s0']);
    queue.add('other', ['o0', 'o1']);
    expect(queue.take(8, one)).toEqual(['l8', 's0', 'o0', 'l9', 'o1', 'l10', 'l11', 'l12']);
  });

  it('lets the requests of one tenant take turns as well', () => {
    const queue = new FairQueue<string>();
    queue.add('t', many('a', 3));
    queue.add('t', many('b', 2));
    expect(queue.take(10, one)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2']);
    expect(queue.take(10, one)).toEqual([]);
  });

  it('gives each item once, to tenants in turns over batches, when all have more than a batch holds', () => {
    const queue = new FairQueue<string>();
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) queue.add(name, many(name, 20));
    const taken: string[] = [];
    for (let batch = queue.take(3, one); batch.length > 0; batch = queue.take(3, one)) {
      taken.push(...batch);
      const counts = names.map((name) => taken.filter((item) => item.startsWith(name)).length);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
    expect(taken.sort()).toEqual(names.flatMap((name) => many(name, 20)).sort());
  });

  it('stops at its budget, and what did not fit is the first of the next batch, also when it alone is more than the budget', () => {
    const queue = new FairQueue<number>();
    queue.add('a', [4, 50, 1]);
    queue.add('b', [5, 1]);
    const cost = (tokens: number): number => tokens;
    expect(queue.take(10, cost)).toEqual([4, 5]);
    expect(queue.take(10, cost)).toEqual([50]);
    expect(queue.take(10, cost)).toEqual([1, 1]);
  });

  it('counts what waits, and names the newest request of the owner with most of it, whatever turns were taken', () => {
    const queue = new FairQueue<string>();
    expect(queue.newestOfLongest()).toBeNull();
    queue.add('a', many('old', 3));
    const withdraw = queue.add('a', many('new', 2));
    queue.add('b', many('b', 3));
    expect([queue.size, queue.waitingOf('a'), queue.waitingOf('b'), queue.waitingOf('c')]).toEqual([8, 5, 3, 0]);
    expect(queue.take(3, one)).toEqual(['old0', 'b0', 'new0']);
    expect([queue.size, queue.waitingOf('a')]).toEqual([5, 3]);
    expect(queue.newestOfLongest()).toEqual({ waiting: 3, item: 'new1' });
    withdraw();
    withdraw();
    expect(queue.newestOfLongest()).toEqual({ waiting: 2, item: 'b1' });
    expect([queue.size, queue.waitingOf('a')]).toEqual([4, 2]);
    expect(queue.take(9, one)).toHaveLength(4);
    expect(queue.size).toBe(0);
  });

  it('gives nothing of what was withdrawn', () => {
    const queue = new FairQueue<string>();
    const withdraw = queue.add('a', many('a', 5));
    queue.add('b', ['b0']);
    expect(queue.take(1, one)).toEqual(['a0']);
    withdraw();
    expect(queue.take(9, one)).toEqual(['b0']);
    expect(queue.take(9, one)).toEqual([]);
  });
});
