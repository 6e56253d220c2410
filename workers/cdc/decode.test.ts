import { describe, expect, it } from 'vitest';
import { bucketOf } from '../../platform/hash.ts';
import { debeziumValue, eventSource, exampleRow } from '../../test/support/debezium-events.ts';
import { type Decoded, decodeChange } from './decode.ts';

const effects = (decoded: Decoded) =>
  decoded.kind === 'change'
    ? decoded.effects.map(({ tenantId, customizationId, operation, bucket }) => [tenantId, customizationId, operation, bucket])
    : decoded;
const decode = (options: Parameters<typeof debeziumValue>[0]) => decodeChange({ value: debeziumValue(options) });
const a = exampleRow('t', 'a');
const b = exampleRow('t', 'b');

describe('a change event', () => {
  it('of an example names tenant, customization, operation and bucket', () => {
    expect(effects(decode({ op: 'c', after: a }))).toEqual([['t', 'c', 'inserted', bucketOf('a')]]);
    expect(effects(decode({ op: 'u', before: a, after: a }))).toEqual([['t', 'c', 'updated', bucketOf('a')]]);
    expect(effects(decode({ op: 'd', before: a }))).toEqual([['t', 'c', 'deleted', bucketOf('a')]]);
    expect(effects(decode({ op: 'c', after: { ...a, bucket: 7 } }))).toEqual([['t', 'c', 'inserted', 7]]);
  });
  it('that changes the key is a deletion and an insertion, wherever the row goes', () => {
    expect(effects(decode({ op: 'u', before: a, after: b }))).toEqual([
      ['t', 'c', 'deleted', bucketOf('a')],
      ['t', 'c', 'inserted', bucketOf('b')],
    ]);
    expect(effects(decode({ op: 'u', before: a, after: exampleRow('other', 'a') }))).toEqual([
      ['t', 'c', 'deleted', bucketOf('a')],
      ['other', 'c', 'inserted', bucketOf('a')],
    ]);
  });
  it('of a customization says that it was configured', () => {
    const row = { tenant_id: 't', customization_id: 'c', policy: '{}' };
    for (const event of [
      { op: 'c', after: row },
      { op: 'u', before: row, after: row },
      { op: 'd', before: row },
    ])
      expect(effects(decode({ ...event, table: 'customizations' }))).toEqual([['t', 'c', 'configured', null]]);
  });
  it('carries its position and commit time', () => {
    expect(decode({ sequence: 7, row: 3, after: a, tsMs: 42 })).toMatchObject({
      position: { gtid: `${eventSource}:7`, file: 'binlog.000002', pos: 7_000, row: 3 },
      commitMs: 42,
    });
  });
  it('of a snapshot, a tombstone or a heartbeat counts nothing', () => {
    expect(decode({ op: 'r', after: a })).toEqual({ kind: 'nothing', why: 'snapshot' });
    expect(decodeChange({ value: null })).toEqual({ kind: 'nothing', why: 'tombstone' });
    expect(decodeChange({ value: Buffer.from('{"ts_ms":1}') })).toEqual({ kind: 'nothing', why: 'heartbeat' });
  });
  it('that nobody can read is named by its fields and never by its values', () => {
    const reasons = [
      Buffer.from('{"secret'),
      Buffer.from('[]'),
      Buffer.from('{"op":"c"}'),
      debeziumValue({ op: 'x', after: a }),
      debeziumValue({ op: 't' }),
      debeziumValue({ op: 'u', after: a }),
      debeziumValue({ op: 'c', after: { tenant_id: 't', secret: 'secret' } }),
      debeziumValue({ op: 'c', after: { ...a, example_id: 5 } }),
      debeziumValue({ op: 'c', after: a, table: 'secret' }),
      Buffer.from('{"op":"c","source":{},"after":{}}'),
    ].map((value) => decodeChange({ value }));
    for (const decoded of reasons) {
      expect(decoded.kind).toBe('undecodable');
      expect(JSON.stringify(decoded)).not.toContain('secret');
    }
    expect(new Set(reasons.map((decoded) => JSON.stringify(decoded))).size).toBeGreaterThanOrEqual(7);
  });
});
