import { describe, expect, it } from 'vitest';
import { noBuckets, withBucket } from './dirty-buckets.ts';
import { firstHolding } from './learned.ts';

const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const set = (...buckets: number[]): string => buckets.reduce(withBucket, noBuckets);
const dataset = (number: number, upTo: number, readBuckets: string | null) => ({ number, cut: `${uuid}:1-${upTo}`, readBuckets });

describe('the first dataset that holds a commit', () => {
  it('is the first whose cut contains it, if its buckets were read for it', () => {
    const datasets = [dataset(1, 5, null), dataset(2, 10, set(3, 4)), dataset(3, 20, set(9))];
    expect(firstHolding(datasets, `${uuid}:7`, set(3))?.number).toBe(2);
    expect(firstHolding(datasets, `${uuid}:4`, set(3))?.number).toBe(1);
    expect(firstHolding(datasets, `${uuid}:21`, set(3))).toBeNull();
  });

  it('is a later one where a bucket was taken over from the parent although the cut contains the commit', () => {
    const datasets = [dataset(1, 5, null), dataset(2, 10, set(3)), dataset(3, 20, set(8)), dataset(4, 30, set(9))];
    expect(firstHolding(datasets, `${uuid}:7`, set(3, 8))?.number).toBe(3);
    expect(firstHolding(datasets, `${uuid}:7`, set(3, 7))).toBeNull();
    expect(firstHolding([...datasets, dataset(5, 40, null)], `${uuid}:7`, set(3, 7))?.number).toBe(5);
  });

  it('of a commit whose buckets nobody knows is one that read everything', () => {
    expect(firstHolding([dataset(1, 5, set(1)), dataset(2, 6, null)], `${uuid}:4`, null)?.number).toBe(2);
    expect(firstHolding([dataset(1, 5, set(1))], `${uuid}:4`, noBuckets)?.number).toBe(1);
  });
});
