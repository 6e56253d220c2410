import { describe, expect, it } from 'vitest';
import { type LockedAmount, type SweepReport, addSweep, emptyGc, noKinds, nothing } from '../core/store-care.ts';
import { gcLines } from './store.ts';

const sweep = (locked?: LockedAmount): SweepReport => ({
  tenantId: 'acme',
  removed: noKinds(),
  kept: nothing,
  ...(locked ? { locked } : {}),
  unknown: nothing,
  versions: [],
  datasets: 0,
  deferred: [],
});
const linesOf = (...sweeps: readonly SweepReport[]): string => gcLines(sweeps.reduce(addSweep, emptyGc(true))).join('\n');

describe('the report of a garbage collection', () => {
  it('says how much is under object lock, and until when at the latest', () => {
    const early = sweep({ objects: 1, bytes: 1_000, until: '2031-01-01T00:00:00.000Z' });
    const late = sweep({ objects: 2, bytes: 2_000, until: '2032-01-01T00:00:00.000Z' });
    for (const sweeps of [
      [early, sweep(), late],
      [late, early],
    ])
      expect(linesOf(...sweeps)).toMatch(/under object lock, and left: .* in 3 objects, the last until 2032-01-01/);
    expect(linesOf(late, sweep({ objects: 1, bytes: 1, until: null }))).toContain('with a legal hold');
    expect(linesOf(sweep())).not.toContain('object lock');
  });

  it('goes on with one from before there were locks', () => {
    const { locked: _, ...older } = emptyGc(true);
    expect(addSweep(older, sweep({ objects: 1, bytes: 1, until: null })).locked).toEqual({ objects: 1, bytes: 1, until: null });
    expect(addSweep(older, sweep()).locked).toEqual(emptyGc(true).locked);
  });
});
