import type { LogPosition } from '../../../core/change-digest.ts';
import { bucketOf } from '../../../platform/hash.ts';
import type { FeedRecord } from '../change-feed.ts';
import type { ChangeEffect, Decoded } from '../decode.ts';
import type { Mapping } from './mappings.ts';

type Fields = { readonly [name: string]: unknown };
export type MappingsOfTable = (database: string, table: string) => readonly Mapping[];

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const undecodable = (reason: string): Decoded => ({ kind: 'undecodable', reason });
const nothing = (why: Extract<Decoded, { kind: 'nothing' }>['why']): Decoded => ({ kind: 'nothing', why });

/** A number that JavaScript cannot hold stays the text that it was: ids are compared as text. */
const exactNumber = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === 'number' && !Number.isSafeInteger(value) ? (context?.source ?? value) : value;

/**
 * Reads an event of a mapped table and says what it does to each customization that maps it. The filter is judged before and after the change:
 * a row that moves into it was inserted, one that moves out was deleted.
 */
export function decodeMapped(record: Pick<FeedRecord, 'value'>, mappingsOf: MappingsOfTable): Decoded {
  if (record.value === null || record.value.length === 0) return nothing('tombstone');
  let event: unknown;
  try {
    event = JSON.parse(record.value.toString('utf8'), exactNumber);
  } catch {
    return undecodable('the value is not JSON');
  }
  if (!isFields(event)) return undecodable('the value is not a JSON object');
  const { op, source, before, after } = event;
  if (op === undefined && 'ts_ms' in event) return nothing('heartbeat');
  if (!isFields(source)) return undecodable('field source is missing');
  if (op === 'r') return nothing('snapshot');
  if (op !== 'c' && op !== 'u' && op !== 'd')
    return undecodable(op === 't' ? 'TRUNCATE removed the rows of a table without row events' : 'field op is none of c, u, d, r, t');
  const { db, table, gtid, file, pos, row, ts_ms: commitMs } = source;
  if (typeof db !== 'string' || typeof table !== 'string' || typeof file !== 'string' || typeof pos !== 'number')
    return undecodable('field source has no db, table, file and pos');
  const old = op === 'c' ? null : before;
  const now = op === 'd' ? null : after;
  if (op !== 'c' && !isFields(old)) return undecodable('field before is missing: binlog_row_image must be FULL');
  if (op !== 'd' && !isFields(now)) return undecodable('field after is missing');
  const effects = mappingsOf(db, table).flatMap((mapping) =>
    effectsOn(mapping, isFields(old) ? idIn(old, mapping) : null, isFields(now) ? idIn(now, mapping) : null),
  );
  if (effects.length === 0) return nothing('unmapped');
  const position: LogPosition = { gtid: typeof gtid === 'string' ? gtid : '', file, pos, row: typeof row === 'number' ? row : 0 };
  return { kind: 'change', effects, position, commitMs: typeof commitMs === 'number' ? commitMs : 0 };
}

/** Text of a key column, as `CAST(... AS CHAR)` gives it in MySQL; null: absent or NULL. */
function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  return typeof value === 'boolean' ? (value ? '1' : '0') : null;
}

/** The row's id where the row is the customization's; null where it is not. */
function idIn(row: Fields, { source: { columns, filter } }: Mapping): string | null {
  if (filter && textOf(row[filter.column]) !== filter.equals) return null;
  return textOf(row[columns.id]);
}

function effectsOn({ tenantId, customizationId }: Mapping, old: string | null, now: string | null): ChangeEffect[] {
  const effect = (id: string, operation: ChangeEffect['operation']): ChangeEffect => ({
    tenantId,
    customizationId,
    operation,
    bucket: bucketOf(id),
  });
  if (old !== null && old === now) return [effect(now, 'updated')];
  return [...(old === null ? [] : [effect(old, 'deleted')]), ...(now === null ? [] : [effect(now, 'inserted')])];
}
