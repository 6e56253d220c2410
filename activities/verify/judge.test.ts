import { describe, expect, it } from 'vitest';
import { noBuckets, withBucket } from '../../core/dirty-buckets.ts';
import type { TenantPending } from '../../core/tenant-messages.ts';
import { bucketOf } from '../../platform/hash.ts';
import { leafDigest, merkleRoot } from '../../store/merkle.ts';
import { compareBucket, storedBucket } from './compare-bucket.ts';
import type { Comparison } from './compare-table.ts';
import { Differences } from './differences.ts';
import { judge } from './judge.ts';

const line = (id: string, text = id): string => JSON.stringify({ text, label: 'l', id, split: 'train' });
const whole = { index: 0, bucketCount: 1 };
const sorted = (ids: readonly string[]): string[] => [...ids].sort((a, b) => bucketOf(a) - bucketOf(b) || (a < b ? -1 : 1));
const scanned = (rows: Readonly<Record<string, string>>) => ({
  rows: sorted(Object.keys(rows)).map((id) => ({ id, line: line(id, rows[id]), digest: leafDigest(line(id, rows[id])) })),
});
const stored = (rows: Readonly<Record<string, string>>) =>
  storedBucket(
    sorted(Object.keys(rows)).map((id) => line(id, rows[id])),
    whole,
  );

describe('a bucket', () => {
  it('is compared row by row, in both directions', () => {
    const found = compareBucket(scanned({ a: '1', b: '2', c: '3' }), stored({ b: '2', c: 'other', d: '4' }));
    expect(found.map(({ id, kind }) => `${id} ${kind}`).sort()).toEqual(['a missing', 'c changed', 'd extra']);
    expect(found.find(({ id }) => id === 'a')?.fine).toBe(bucketOf('a'));
    expect(compareBucket(scanned({ a: '1' }), stored({ a: '1' }))).toEqual([]);
  });

  it('that is stored has the digest of its bytes, and rows that occur twice are phantoms', () => {
    expect(stored({ a: '1', b: '2' }).digest).not.toBe(stored({ a: '1', b: '3' }).digest);
    const fine: Buffer[][] = Array.from({ length: 256 }, () => []);
    fine[bucketOf('a')]?.push(leafDigest(line('a')));
    expect(storedBucket([line('a')], whole).digest).toBe(merkleRoot(fine.map(merkleRoot)).toString('hex'));
    expect(storedBucket([line('a'), line('a')], whole).misplaced).toEqual(['a']);
    expect(storedBucket([line('a')], { index: bucketOf('a') > 127 ? 0 : 1, bucketCount: 2 }).misplaced).toEqual(['a']);
  });
});

const comparison = (over: Partial<Comparison> = {}): Comparison => ({
  table: { rows: 3, digest: 't', excluded: 0, cut: 'cut' },
  dataset: { number: 4, rows: 3, digest: 'd', cut: 'old' },
  differences: new Differences(),
  misplaced: [],
  damaged: [],
  otherModel: null,
  ...over,
});
const differing = (...ids: readonly [string, 'missing' | 'extra' | 'changed'][]): Differences => {
  const differences = new Differences();
  for (const [id, kind] of ids) differences.add({ id, kind, fine: bucketOf(id) });
  return differences;
};
const knowing = (buckets: string | null): { pending: TenantPending; waitedMs: number } => ({
  pending: { watermarks: {}, customizations: { c: { phase: 'waiting', why: 'the quiet period', buckets } } },
  waitedMs: 100,
});

describe('the judgement', () => {
  it('of equal rows is ok without asking anybody', () => {
    expect(judge('c', comparison(), { known: null, schemaHeld: null })).toMatchObject({
      ok: true,
      verdict: 'equal',
      I1: { holds: true },
      I2: { holds: true },
    });
  });

  it('lets pass what the workflow knows of, and nothing else', () => {
    const differences = differing(['a', 'missing'], ['b', 'changed']);
    const both = [bucketOf('a'), bucketOf('b')].reduce(withBucket, noBuckets);
    expect(judge('c', comparison({ differences }), { known: knowing(both), schemaHeld: null })).toMatchObject({
      ok: true,
      verdict: 'on_its_way',
    });
    expect(judge('c', comparison({ differences }), { known: knowing(null), schemaHeld: null }).ok).toBe(true);
    const half = judge('c', comparison({ differences }), { known: knowing(withBucket(noBuckets, bucketOf('a'))), schemaHeld: null });
    expect(half).toMatchObject({ ok: false, verdict: 'violated', I1: { holds: false }, I2: { holds: true } });
    expect(half.unexplained.ids).toEqual(['b']);
    expect(half.explanation).toContain('1 row different');
  });

  it('of a row that only the dataset has names I2', () => {
    const found = judge('c', comparison({ differences: differing(['a', 'extra']) }), { known: knowing(noBuckets), schemaHeld: null });
    expect(found).toMatchObject({ ok: false, verdict: 'violated', I1: { holds: true }, I2: { holds: false } });
  });

  it('is not made while the log is not sensed so far, and says that nobody knows', () => {
    const differences = differing(['a', 'missing']);
    const found = judge('c', comparison({ differences }), { known: { pending: null, waitedMs: 20_000 }, schemaHeld: null });
    expect(found).toMatchObject({ ok: false, verdict: 'stalled' });
    expect(found.unexplained.none).toBe(true);
    expect(found.explanation).toContain('not sensed yet');
  });

  it('says when a person is waited for, or when the business model is another one', () => {
    const differences = differing(['a', 'missing']);
    const held = judge('c', comparison({ differences }), { known: knowing(noBuckets), schemaHeld: 'column label was dropped' });
    expect(held).toMatchObject({ ok: true, verdict: 'on_its_way' });
    expect(held.explanation).toContain('column label was dropped');
    expect(judge('c', comparison({ differences, otherModel: 'other' }), { known: knowing(noBuckets), schemaHeld: null }).ok).toBe(true);
  });

  it('of stored bytes that are not what the manifest says is a violation, unless they were repaired', () => {
    const damaged = [{ bucket: 0, detail: 'key: bad', repaired: false }];
    expect(judge('c', comparison({ damaged }), { known: null, schemaHeld: null })).toMatchObject({ ok: false, I1: { holds: false } });
    const repaired = damaged.map((one) => ({ ...one, repaired: true }));
    expect(judge('c', comparison({ damaged: repaired }), { known: null, schemaHeld: null }).ok).toBe(true);
    expect(judge('c', comparison({ misplaced: ['a'] }), { known: null, schemaHeld: null })).toMatchObject({
      ok: false,
      I2: { holds: false },
    });
  });
});

describe('differences', () => {
  it('are counted exactly and named up to a limit', () => {
    const differences = new Differences();
    for (let i = 0; i < 50_000; i++) differences.add({ id: `e${i}`, kind: 'missing', fine: i % 256 });
    expect(differences.count('missing')).toBe(50_000);
    expect(differences.named('missing')).toHaveLength(100);
    expect(differences.outside(withBucket(noBuckets, 3)).count('missing')).toBe(50_000 - Math.ceil((50_000 - 3) / 256));
  });
});
