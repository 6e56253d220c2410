import type { LogPosition } from '../../core/change-digest.ts';
import { bucketOf } from '../../platform/hash.ts';
import type { FeedRecord } from './change-feed.ts';
import { scanEvent } from './scan-event.ts';

/** What one event does to one customization. `bucket` is null for a change of the customization itself. */
export type ChangeEffect = {
  readonly tenantId: string;
  readonly customizationId: string;
  readonly operation: 'inserted' | 'updated' | 'deleted' | 'configured';
  readonly bucket: number | null;
};

export type Decoded =
  | { readonly kind: 'change'; readonly effects: readonly ChangeEffect[]; readonly position: LogPosition; readonly commitMs: number }
  /** Nothing that a digest counts: a tombstone, a heartbeat, a row of a snapshot, a row of a mapped table that concerns no customization. */
  | { readonly kind: 'nothing'; readonly why: 'tombstone' | 'heartbeat' | 'snapshot' | 'unmapped' }
  | { readonly kind: 'undecodable'; readonly reason: string };

type Fields = { readonly [name: string]: unknown };

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const undecodable = (reason: string): Decoded => ({ kind: 'undecodable', reason });

/** Reads a Debezium event (JSON without schemas). Reasons name fields, never values: they go into headers and logs. */
export function decodeChange(record: Pick<FeedRecord, 'value'>): Decoded {
  if (record.value === null || record.value.length === 0) return { kind: 'nothing', why: 'tombstone' };
  return scanEvent(record.value) ?? parseChange(record.value);
}

/** The same by JSON.parse: it decides whatever the scanner does not know. */
export function parseChange(value: Buffer): Decoded {
  let event: unknown;
  try {
    event = JSON.parse(value.toString('utf8'));
  } catch {
    return undecodable('the value is not JSON');
  }
  if (!isFields(event)) return undecodable('the value is not a JSON object');
  const { op, source, before, after } = event;
  if (op === undefined && 'ts_ms' in event) return { kind: 'nothing', why: 'heartbeat' };
  if (!isFields(source)) return undecodable('field source is missing');
  if (op === 'r') return { kind: 'nothing', why: 'snapshot' };
  if (op !== 'c' && op !== 'u' && op !== 'd')
    return undecodable(
      op === 't' ? 'TRUNCATE names no tenant: its examples were removed without row events' : 'field op is none of c, u, d, r, t',
    );

  const position = positionOf(source);
  if (!position) return undecodable('field source has no file, pos and row');
  const old = op === 'c' ? null : before;
  const now = op === 'd' ? null : after;
  if (op !== 'c' && !isFields(old)) return undecodable('field before is missing: binlog_row_image must be FULL');
  if (op !== 'd' && !isFields(now)) return undecodable('field after is missing');
  const table = source['table'];
  const effects = table === 'examples' ? exampleEffects(old, now) : table === 'customizations' ? configurationEffects(old, now) : null;
  if (effects === null) return undecodable('field source.table is neither examples nor customizations');
  if (effects === 'ids') return undecodable('a row lacks tenant_id, customization_id or example_id');
  const commitMs = typeof source['ts_ms'] === 'number' ? source['ts_ms'] : 0;
  return { kind: 'change', effects, position, commitMs };
}

function positionOf(source: Fields): LogPosition | null {
  const { gtid, file, pos, row } = source;
  if (typeof file !== 'string' || typeof pos !== 'number') return null;
  return { gtid: typeof gtid === 'string' ? gtid : '', file, pos, row: typeof row === 'number' ? row : 0 };
}

type Owner = { readonly tenantId: string; readonly customizationId: string };

function ownerOf(row: Fields): Owner | null {
  const { tenant_id: tenantId, customization_id: customizationId } = row;
  return typeof tenantId === 'string' && typeof customizationId === 'string' ? { tenantId, customizationId } : null;
}

function exampleOf(row: Fields): (Owner & { readonly exampleId: string; readonly bucket: number }) | null {
  const owner = ownerOf(row);
  const { example_id: exampleId, bucket } = row;
  if (!owner || typeof exampleId !== 'string') return null;
  // The generated column is in the row image; a server that leaves it out costs a hash.
  return { ...owner, exampleId, bucket: typeof bucket === 'number' ? bucket & 0xff : bucketOf(exampleId) };
}

function exampleEffects(before: unknown, after: unknown): readonly ChangeEffect[] | 'ids' {
  const old = isFields(before) ? exampleOf(before) : undefined;
  const now = isFields(after) ? exampleOf(after) : undefined;
  if (old === null || now === null) return 'ids';
  const effect = (
    { tenantId, customizationId, bucket }: Owner & { bucket: number },
    operation: ChangeEffect['operation'],
  ): ChangeEffect => ({
    tenantId,
    customizationId,
    operation,
    bucket,
  });
  if (old && now) {
    const same = old.tenantId === now.tenantId && old.customizationId === now.customizationId && old.exampleId === now.exampleId;
    // A changed key is another example: the old one leaves its place, wherever the new one goes.
    return same ? [effect(now, 'updated')] : [effect(old, 'deleted'), effect(now, 'inserted')];
  }
  return old ? [effect(old, 'deleted')] : now ? [effect(now, 'inserted')] : 'ids';
}

function configurationEffects(before: unknown, after: unknown): readonly ChangeEffect[] | 'ids' {
  const owners = [before, after].filter(isFields).map(ownerOf);
  const known = owners.filter((owner) => owner !== null);
  if (known.length !== owners.length || known.length === 0) return 'ids';
  const distinct = new Map(known.map((owner) => [`${owner.tenantId}/${owner.customizationId}`, owner]));
  return [...distinct.values()].map((owner) => ({ ...owner, operation: 'configured', bucket: null }));
}
