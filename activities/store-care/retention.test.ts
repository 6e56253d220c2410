import { describe, expect, it } from 'vitest';
import { type KeptDataset, type KeptVersion, retire } from './retention.ts';

const version = (number: number, more: Partial<KeptVersion> = {}): KeptVersion => ({
  version: number,
  dataset: number,
  old: true,
  alias: false,
  held: false,
  locked: false,
  withdrawn: false,
  ...more,
});
const dataset = (number: number, more: Partial<KeptDataset> = {}): KeptDataset => ({ number, old: true, inUse: false, ...more });
const kept = { exists: true, keep: 2 };

describe('the retention', () => {
  it('keeps the newest versions, those with an alias, those that are held and those that are young, and nothing else', () => {
    const versions = [
      version(1, { alias: true }),
      version(2, { held: true }),
      version(3),
      version(4, { old: false }),
      version(5),
      version(6),
      version(7),
    ];
    expect(retire(versions, [], kept).versions).toEqual([3, 5]);
    expect(retire(versions, [], { exists: true, keep: 3 }).versions).toEqual([3]);
  });

  it('keeps what is locked while the customization exists', () => {
    const versions = [version(1, { locked: true }), version(2), version(3), version(4)];
    expect(retire(versions, [], kept).versions).toEqual([2]);
    expect(retire(versions, [], { exists: false, keep: 2 }).versions).toEqual([1, 2, 3, 4]);
  });

  it('keeps the datasets of versions that stay, the latest one, and those that a run refers to', () => {
    const versions = [version(1), version(2), version(3), version(4)];
    const datasets = [1, 2, 3, 4, 5, 6, 7].map((number) => dataset(number, { inUse: number === 6, old: number !== 5 }));
    expect(retire(versions, datasets, kept)).toEqual({ versions: [1, 2], datasets: [1, 2] });
  });

  it('gives a withdrawn version no place among the newest', () => {
    const versions = [version(1), version(2), version(3, { withdrawn: true }), version(4, { withdrawn: true, alias: true })];
    expect(retire(versions, [], kept).versions).toEqual([3]);
  });

  it('lets everything of a deleted customization go but what is held', () => {
    const versions = [version(1, { alias: true }), version(2, { held: true }), version(3)];
    expect(
      retire(
        versions,
        [1, 2, 3].map((number) => dataset(number)),
        { exists: false, keep: 10 },
      ),
    ).toEqual({
      versions: [1, 3],
      datasets: [1, 3],
    });
  });
});
