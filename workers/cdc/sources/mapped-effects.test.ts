import { describe, expect, it } from 'vitest';
import type { SourceMapping } from '../../../core/source-mapping.ts';
import { bucketOf } from '../../../platform/hash.ts';
import { decodeMapped } from './mapped-effects.ts';
import type { Mapping } from './mappings.ts';

const mapping = (tenantId: string, filter: SourceMapping['filter']): Mapping => ({
  tenantId,
  customizationId: 'c',
  source: { database: 'shop', table: 'reviews', columns: { id: 'number', text: 'body', label: 'category' }, filter },
  digest: 'd',
  announced: null,
  state: null,
  detail: null,
});
const sides = [mapping('left', { column: 'side', equals: 'L' }), mapping('right', { column: 'side', equals: 'R' })];

function decode(change: { op: string; before?: string; after?: string }, mappings: readonly Mapping[], table = 'reviews') {
  const source = `{"db":"shop","table":"${table}","gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:7","file":"b.1","pos":40,"row":2,"ts_ms":1000,"ts_us":1000000000000000}`;
  const value = `{"op":"${change.op}","before":${change.before ?? 'null'},"after":${change.after ?? 'null'},"source":${source},"ts_ms":1001}`;
  return decodeMapped({ value: Buffer.from(value) }, (database, name) => (`${database}.${name}` === 'shop.reviews' ? mappings : []));
}
const effects = (decoded: ReturnType<typeof decode>) =>
  decoded.kind === 'change' ? decoded.effects.map(({ tenantId, operation, bucket }) => [tenantId, operation, bucket]) : decoded;

describe('an event of a mapped table', () => {
  it('concerns the tenant whose filter value the row has, and nobody else', () => {
    expect(effects(decode({ op: 'c', after: '{"number":5,"side":"L"}' }, sides))).toEqual([['left', 'inserted', bucketOf('5')]]);
    expect(effects(decode({ op: 'd', before: '{"number":5,"side":"R"}' }, sides))).toEqual([['right', 'deleted', bucketOf('5')]]);
    expect(decode({ op: 'c', after: '{"number":5,"side":"l"}' }, sides)).toEqual({ kind: 'nothing', why: 'unmapped' });
    expect(decode({ op: 'c', after: '{"number":5,"side":null}' }, sides)).toEqual({ kind: 'nothing', why: 'unmapped' });
  });

  it('that moves a row from one filter value to another deletes it there and inserts it here', () => {
    const moved = decode({ op: 'u', before: '{"number":5,"side":"L"}', after: '{"number":5,"side":"R"}' }, sides);
    expect(effects(moved)).toEqual([
      ['left', 'deleted', bucketOf('5')],
      ['right', 'inserted', bucketOf('5')],
    ]);
    expect(moved).toMatchObject({ position: { file: 'b.1', pos: 40, row: 2, gtid: expect.stringContaining(':7') }, commitMs: 1_000 });
  });

  it('that changes the id deletes one example and inserts another', () => {
    const changed = decode({ op: 'u', before: '{"number":5}', after: '{"number":6}' }, [mapping('left', null)]);
    expect(effects(changed)).toEqual([
      ['left', 'deleted', bucketOf('5')],
      ['left', 'inserted', bucketOf('6')],
    ]);
  });

  it('keeps every digit of an id that JavaScript cannot count to', () => {
    const all = [mapping('left', null)];
    for (const id of ['18446744073709551615', '-9223372036854775808', '9007199254740993', '123456789012345678901234567890'])
      expect(effects(decode({ op: 'c', after: `{"number":${id}}` }, all))).toEqual([['left', 'inserted', bucketOf(id)]]);
  });

  it('of a table that nobody maps any more is passed over, and so are tombstones, snapshots and heartbeats', () => {
    expect(decode({ op: 'c', after: '{"number":5}' }, sides, 'other')).toEqual({ kind: 'nothing', why: 'unmapped' });
    expect(decode({ op: 'r', after: '{"number":5}' }, sides)).toEqual({ kind: 'nothing', why: 'snapshot' });
    expect(decodeMapped({ value: null }, () => sides)).toEqual({ kind: 'nothing', why: 'tombstone' });
    expect(decodeMapped({ value: Buffer.from('{"ts_ms":1}') }, () => sides)).toEqual({ kind: 'nothing', why: 'heartbeat' });
  });

  it('that cannot be read names the field and never what it holds', () => {
    const secret = decode({ op: 'u', after: '{"number":"a secret"}' }, sides);
    expect(secret).toMatchObject({ kind: 'undecodable', reason: expect.stringContaining('before') });
    expect(JSON.stringify(secret)).not.toContain('secret');
    expect(decodeMapped({ value: Buffer.from('{"op":') }, () => sides)).toMatchObject({ kind: 'undecodable' });
  });
});
