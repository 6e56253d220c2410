import { describe, expect, it } from 'vitest';
import { type PlannedTensor, planShards } from './shard-plan.ts';

const mebi = 1024 * 1024;
const target = 32 * mebi;
const tensor = (name: string, bytes: number): PlannedTensor => ({ name, dtype: 'U8', shape: [bytes], bytes });
const sizeOf = (shard: readonly PlannedTensor[]): number => shard.reduce((sum, { bytes }) => sum + bytes, 0);
const idOf = (shard: readonly PlannedTensor[]): string => shard.map(({ name, bytes }) => `${name}:${bytes}`).join();

/** Numbers from 0 to 1, the same for the same seed. */
function numbers(seed: number): () => number {
  let state = (seed * 7_919 + 1) % 2_147_483_647;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

/** A model of random shape: mostly small tensors, some that fill a shard. */
function modelOf(next: () => number): PlannedTensor[] {
  const count = 200 + Math.floor(next() * 600);
  return Array.from({ length: count }, (_, i) =>
    tensor(`layers.${i}.${Math.floor(next() * 1e6)}`, Math.ceil((next() < 0.05 ? 40 : next() < 0.5 ? 8 : 0.1) * mebi * next()) + 1),
  );
}

describe('the shard plan', () => {
  it('of nothing is nothing', () => {
    expect(planShards([], target)).toEqual([]);
  });

  it('gives a large tensor a shard of its own and puts the small ones about it together', () => {
    const plan = planShards([tensor('a', 1), tensor('b', 16 * mebi), tensor('c', 2), tensor('d', 400 * mebi), tensor('e', 3)], target);
    expect(plan.map((shard) => shard.map(({ name }) => name).join(''))).toEqual(['ace', 'b', 'd']);
  });

  it('keeps every tensor once, whole and in order, in shards of half to twice the target', () => {
    for (let seed = 0; seed < 100; seed += 1) {
      const model = modelOf(numbers(seed));
      const plan = planShards(model, target);
      expect(
        plan
          .flat()
          .map(({ name }) => name)
          .sort(),
      ).toEqual(model.map(({ name }) => name).sort());
      const grouped = plan.filter((shard) => sizeOf(shard) < 16 * mebi || shard.length > 1);
      for (const shard of grouped.slice(0, -1)) {
        expect(sizeOf(shard)).toBeGreaterThanOrEqual(16 * mebi);
        expect(sizeOf(shard)).toBeLessThanOrEqual(64 * mebi);
      }
      for (const shard of plan)
        expect(shard.map((one) => model.indexOf(one))).toEqual(shard.map((one) => model.indexOf(one)).sort((a, b) => a - b));
    }
  });

  it('changes only the shards about a tensor that is added, removed or resized', () => {
    const changed: number[] = [];
    for (let seed = 0; seed < 600; seed += 1) {
      const next = numbers(seed);
      const before = modelOf(next);
      const at = Math.floor(next() * before.length);
      const one = tensor(`new.${seed}`, Math.ceil(next() * 8 * mebi));
      const edits = [
        before.toSpliced(at, 0, one),
        before.toSpliced(at, 1),
        before.with(at, { ...(before[at] as PlannedTensor), bytes: one.bytes }),
      ];
      const known = new Set(planShards(before, target).map(idOf));
      const after = planShards(edits[seed % 3] as PlannedTensor[], target);
      changed.push(after.filter((shard) => !known.has(idOf(shard))).length);
    }
    // Two ends that are found again a few shards later at the worst, of about 40 shards.
    expect(changed.reduce((sum, n) => sum + n, 0) / changed.length).toBeLessThan(3);
    expect(changed.toSorted((a, b) => a - b)[Math.floor(changed.length * 0.99)]).toBeLessThanOrEqual(8);
  });
});
