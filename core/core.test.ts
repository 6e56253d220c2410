import { describe, expect, it } from 'vitest';
import { allBuckets, differingBuckets, listBuckets, noBuckets, unionBuckets, withBucket } from './dirty-buckets.ts';
import { gtidSetContains, inEpoch, parseGtid } from './gtid.ts';
import { canonicalJson } from './json.ts';

describe('dirty buckets', () => {
  it('holds exactly the buckets that were added', () => {
    const set = [0, 7, 8, 200, 255, 8].reduce(withBucket, noBuckets);
    expect(listBuckets(set)).toEqual([0, 7, 8, 200, 255]);
    expect(set).toHaveLength(64);
  });
  it('joins two sets and knows the full one', () => {
    expect(listBuckets(unionBuckets(withBucket(noBuckets, 3), withBucket(noBuckets, 254)))).toEqual([3, 254]);
    expect(listBuckets(allBuckets)).toHaveLength(256);
  });
  it('are those whose digests differ, all of them where none are known', () => {
    const now = Array.from({ length: 256 }, (_, i) => (i === 4 ? '' : `1:${i}`));
    const before = now.with(3, '2:3').with(4, '1:4');
    expect(listBuckets(differingBuckets(before, now))).toEqual([3, 4]);
    expect(differingBuckets(now, now)).toBe(noBuckets);
    expect(differingBuckets([], now)).toBe(allBuckets);
  });
});

describe('GTID sets', () => {
  const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
  const other = '4e11fa47-71ca-11e1-9e33-c80aa9429562';
  it('contain the numbers of their intervals and no others', () => {
    const set = `${uuid}:1-5:11,\n ${other.toUpperCase()}:7`;
    expect([1, 5, 11].every((n) => gtidSetContains(set, `${uuid}:${n}`))).toBe(true);
    expect([6, 10, 12].some((n) => gtidSetContains(set, `${uuid}:${n}`))).toBe(false);
    expect(gtidSetContains(set, `${other}:7`)).toBe(true);
    expect(gtidSetContains(set, `${other}:1`)).toBe(false);
  });
  it('keep tags of MySQL 8.3 and later apart', () => {
    const set = `${uuid}:1-3:batch:1-5:9:zz_1:7,${other}:x:2`;
    expect(
      [`${uuid}:3`, `${uuid}:batch:5`, `${uuid}:BATCH:9`, `${uuid}:zz_1:7`, `${other}:x:2`].every((g) => gtidSetContains(set, g)),
    ).toBe(true);
    expect([`${uuid}:4`, `${uuid}:batch:6`, `${uuid}:zz_1:1`, `${uuid}:x:2`, `${other}:2`].some((g) => gtidSetContains(set, g))).toBe(
      false,
    );
    expect(parseGtid(`${uuid}:Batch:4`)).toEqual({ source: `${uuid}:batch`, sequence: 4, epoch: 0 });
    expect(parseGtid(`${uuid}:1:4`)).toBeNull();
    expect(parseGtid(`${uuid}:${'a'.repeat(33)}:4`)).toBeNull();
  });
  it('contain nothing that is not a GTID', () => {
    expect(gtidSetContains(`${uuid}:1-5`, '')).toBe(false);
    expect(gtidSetContains('', `${uuid}:1`)).toBe(false);
    expect(parseGtid(`${uuid}:0`)).toBeNull();
    expect(parseGtid('x:1')).toBeNull();
  });
  it('of different epochs of a log are not mixed up, although their numbers are the same', () => {
    expect(gtidSetContains(`${uuid}:1-300`, `${uuid}:5@1`)).toBe(false);
    expect(gtidSetContains(`${uuid}:1-4@1`, `${uuid}:5@1`)).toBe(false);
    expect(gtidSetContains(`${uuid}:1-5@1`, `${uuid}:5@1`)).toBe(true);
    // A set of a later epoch was read after all commits of the earlier ones.
    expect(gtidSetContains(`${uuid}:1-5@1`, `${uuid}:250`)).toBe(true);
    expect(gtidSetContains(`${uuid}:1-5@1`, '')).toBe(false);
    expect(inEpoch(`${uuid}:5`, 0)).toBe(`${uuid}:5`);
    expect(parseGtid(inEpoch(`${uuid}:5`, 12))).toEqual({ source: uuid, sequence: 5, epoch: 12 });
  });
});

describe('canonical JSON', () => {
  it('does not depend on the order of keys', () => {
    expect(canonicalJson({ b: 1, a: [{ d: null, c: 'ü' }] })).toBe(canonicalJson({ a: [{ c: 'ü', d: null }], b: 1 }));
    expect(canonicalJson({ b: 1, a: [true, 'x"'] })).toBe('{"a":[true,"x\\""],"b":1}');
  });
});
