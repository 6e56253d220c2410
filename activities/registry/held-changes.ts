import { gtidSetContains } from '../../core/gtid.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { SchemaChange, SchemaChangeKind } from '../../core/schema-change.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { failure } from '../failure.ts';

type HeldRow = RowDataPacket & {
  change_id: string;
  kind: SchemaChangeKind;
  table_name: string;
  reason: string;
  schema_version: number;
  gtid: string;
  happened_at: Date;
};

export const refusal = (change: SchemaChange) => failure('SchemaHeld', change.reason, undefined, [change]);

/** Changes of structure that wait for a person, newest first. */
async function heldChanges(connection: Pool | PoolConnection, { tenantId, customizationId }: CustomizationKey): Promise<SchemaChange[]> {
  const [rows] = await connection.query<HeldRow[]>(
    `SELECT change_id, kind, table_name, reason, schema_version, gtid, happened_at FROM modelwright_control.schema_changes
     WHERE tenant_id = ? AND customization_id = ? AND effect = 'held' AND decision IS NULL ORDER BY happened_at DESC`,
    [tenantId, customizationId],
  );
  return rows.map((row) => ({
    customizationId,
    changeId: row.change_id,
    table: row.table_name,
    kind: row.kind,
    effect: 'held',
    reason: row.reason,
    schemaVersion: row.schema_version,
    gtid: row.gtid,
    atMs: row.happened_at.getTime(),
  }));
}

/** Fails with SchemaHeld while a change waits. */
export async function refuseHeld(connection: Pool | PoolConnection, key: CustomizationKey): Promise<void> {
  const [newest] = await heldChanges(connection, key);
  if (newest) throw refusal(newest);
}

/**
 * Fails with SchemaHeld if a dataset with this cut was read over a change that waits: the log told of it only after the cut. A dataset that
 * was cut before the change is what the model may be made of.
 */
export async function refuseCutOver(connection: Pool | PoolConnection, key: CustomizationKey, cut: string): Promise<void> {
  const over = (await heldChanges(connection, key)).find(({ gtid }) => gtidSetContains(cut, gtid));
  if (over) throw refusal(over);
}
