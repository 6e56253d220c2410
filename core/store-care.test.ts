import { describe, expect, it } from 'vitest';
import { type SweepReport, addScrub, addSweep, emptyGc, emptyScrub, maxNamed, noKinds, nothing } from './store-care.ts';

const swept = (tenantId: string | null, bytes: number): SweepReport => ({
  tenantId,
  removed: { ...noKinds(), models: { objects: bytes === 0 ? 0 : 1, bytes } },
  kept: { objects: 1, bytes: 1 },
  unknown: nothing,
  versions: [],
  datasets: 0,
  deferred: [`${tenantId} waits`],
});

describe('the report of a round', () => {
  it('stays small however many tenants there are: it names those with most, counts the others, and adds up all', () => {
    let report = emptyGc(false);
    for (let n = 1; n <= 300; n++) report = addSweep(report, swept(`t${n}`, n));
    report = addSweep(addSweep(report, swept('nothing', 0)), swept(null, 5));
    expect(report.tenants).toHaveLength(maxNamed);
    expect(report.tenants[0]).toEqual({ tenantId: 't300', objects: 1, bytes: 300, versions: 0 });
    expect(report.moreTenants).toBe(200);
    expect(report.removed.models).toEqual({ objects: 301, bytes: 45_155 });
    expect(report.kept.objects).toBe(302);
    expect(report.deferred).toHaveLength(maxNamed);
    const open = Array.from({ length: 70 }, (_, n) => `object ${n}`);
    const part = { objects: 2, bytes: 3, damaged: 70, missing: 1, repaired: 1, open };
    const read = addScrub(addScrub(emptyScrub(null), part), part);
    expect(read).toMatchObject({ objects: 4, bytes: 6, damaged: 140, missing: 2, repaired: 2 });
    expect(read.open).toHaveLength(maxNamed);
  });
});
