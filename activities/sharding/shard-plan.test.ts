import { describe, expect, it } from 'vitest';
import { planShards } from './shard-plan.ts';

const mebi = 1024 * 1024;
const tensor = (name: string, bytes: number) => ({ name, dtype: 'U8', shape: [bytes], bytes });

describe('the shard plan', () => {
  it('keeps tensors whole and in order, and fills shards up to their size', () => {
    const plan = planShards([tensor('a', 20 * mebi), tensor('b', 12 * mebi), tensor('c', 1), tensor('d', 40 * mebi), tensor('e', 1)]);
    expect(plan.map((shard) => shard.map(({ name }) => name).join(''))).toEqual(['ab', 'c', 'd', 'e']);
  });

  it('of nothing is nothing', () => {
    expect(planShards([])).toEqual([]);
  });
});
