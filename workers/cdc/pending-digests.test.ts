import { describe, expect, it } from 'vitest';
import { listBuckets } from '../../core/dirty-buckets.ts';
import type { ChangeEffect } from './decode.ts';
import type { DigestBuilder } from './digest-builder.ts';
import { PendingDigests, signalIntervalMs } from './pending-digests.ts';

const source = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const position = (sequence: number, row = 0) => ({ gtid: `${source}:${sequence}`, file: 'binlog.000001', pos: sequence * 10, row });
const effect = (tenantId: string, operation: ChangeEffect['operation'] = 'inserted', bucket: number | null = 1): ChangeEffect => ({
  tenantId,
  customizationId: 'c',
  operation,
  bucket,
});
const p0 = 'examples/0';
const p1 = 'examples/1';
const must = (digest: DigestBuilder | null): DigestBuilder => {
  if (!digest) throw new Error('no digest is due');
  return digest;
};

describe('pending digests', () => {
  it('send the first change of a quiet tenant at once and the following ones together a second later', () => {
    const pending = new PendingDigests();
    pending.add(p0, 0, [effect('t')], position(1), 0);
    const first = must(pending.take(1_000));
    pending.add(p0, 1, [effect('t', 'updated', 9)], position(2), 50);
    expect(pending.take(1_000)).toBeNull();
    pending.sent(first, 1_010);
    pending.add(p0, 2, [effect('t', 'deleted', 200)], position(3), 60);
    expect(pending.take(1_011)).toBeNull();
    expect(pending.nextDueMs()).toBe(1_010 + signalIntervalMs);
    const second = must(pending.take(1_010 + signalIntervalMs)).build();
    expect(second.customizations['c']).toMatchObject({
      inserted: 0,
      updated: 1,
      deleted: 1,
      firstCommitMs: 50,
      lastCommitMs: 60,
      lastGtid: `${source}:3`,
    });
    expect(listBuckets(second.customizations['c']?.dirtyBuckets ?? '')).toEqual([9, 200]);
    expect(second.ranges[p0]).toEqual({ firstOffset: '1', lastOffset: '2', last: position(3) });
  });
  it('do not make one tenant wait for another', () => {
    const pending = new PendingDigests();
    pending.add(p0, 0, [effect('a')], position(1), 0);
    const a = must(pending.take(0));
    pending.sent(a, 0);
    pending.add(p0, 1, [effect('a')], position(2), 0);
    pending.add(p0, 2, [effect('b')], position(3), 0);
    expect(must(pending.take(1)).tenantId).toBe('b');
  });
  it('hold a partition at the oldest offset whose effect is missing, and let the others go on', () => {
    const pending = new PendingDigests();
    pending.add(p0, 5, [effect('a')], position(1), 0);
    pending.add(p0, 6, [effect('b')], position(2), 0);
    pending.skip(p1, 8);
    expect([...pending.lowWater()]).toEqual([
      [p0, 5],
      [p1, 9],
    ]);
    const a = must(pending.take(0));
    const b = must(pending.take(0));
    pending.sent(b, 0);
    expect(pending.lowWater().get(p0)).toBe(5);
    pending.sent(a, 0);
    expect(pending.lowWater().get(p0)).toBe(7);
  });
  it('lose nothing when a signal fails: the digest grows and is sent later, in one piece', () => {
    const pending = new PendingDigests();
    pending.add(p0, 0, [effect('t', 'inserted', 1)], position(1), 10);
    const failed = must(pending.take(0));
    pending.add(p0, 1, [effect('t', 'inserted', 2)], position(2), 20);
    pending.add(p1, 4, [effect('t', 'configured', null)], position(3), 30);
    pending.failed(failed, 500);
    expect(pending.lowWater().get(p0)).toBe(0);
    expect(pending.take(499)).toBeNull();
    const again = must(pending.take(500));
    expect(again.build()).toMatchObject({
      customizations: { c: { inserted: 2, configured: true, firstCommitMs: 10, lastCommitMs: 30 } },
      ranges: { [p0]: { firstOffset: '0', lastOffset: '1' }, [p1]: { firstOffset: '4', lastOffset: '4' } },
    });
    expect(again.commits().map(({ gtid, inserted, configured }) => [gtid, inserted, configured])).toEqual([
      [`${source}:1`, 1, false],
      [`${source}:2`, 1, false],
      [`${source}:3`, 0, true],
    ]);
  });
  it('count a transaction that two digests share as a whole', () => {
    const pending = new PendingDigests();
    for (let row = 0; row < 3; row++) pending.add(p0, row, [effect('t')], position(1, row), 0);
    const first = must(pending.take(0));
    for (let row = 3; row < 5; row++) pending.add(p0, row, [effect('t')], position(1, row), 0);
    pending.sent(first, 0);
    const second = must(pending.take(signalIntervalMs));
    expect(second.build().customizations['c']?.inserted).toBe(2);
    expect(second.commits()).toMatchObject([{ gtid: `${source}:1`, inserted: 5 }]);
  });
  it('forget everything when the partitions were assigned anew, and a late answer changes nothing', () => {
    const pending = new PendingDigests();
    pending.add(p0, 5, [effect('t')], position(1), 0);
    const sending = must(pending.take(0));
    pending.clear();
    pending.sent(sending, 0);
    pending.failed(sending, 0);
    expect(pending.take(1)).toBeNull();
    expect([...pending.lowWater()]).toEqual([]);
  });
  it('are full when too many tenants wait', () => {
    const pending = new PendingDigests();
    for (let i = 0; i < 20_000; i++) pending.add(p0, i, [effect(`t${i}`)], position(i + 1), 0);
    expect(pending.full).toBe(true);
    pending.sent(must(pending.take(0)), 0);
    expect(pending.full).toBe(false);
  });
});
