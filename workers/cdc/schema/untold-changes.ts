import type { SchemaChange, SchemaChangeKind, SchemaEffect } from '../../../core/schema-change.ts';
import type { Pool, RowDataPacket } from '../../../platform/mysql.ts';

export type UntoldChange = { readonly tenantId: string; readonly change: SchemaChange };

type ChangeRow = RowDataPacket & {
  tenant_id: string;
  customization_id: string;
  change_id: string;
  table_name: string;
  kind: SchemaChangeKind;
  effect: SchemaEffect;
  reason: string;
  schema_version: number;
  gtid: string;
  happened_at: Date;
  retrain: number;
};

/** Changes that the tenants' workflows were not told of yet, oldest first. One that a person has answered meanwhile needs no telling. */
export async function untoldChanges(pool: Pool, limit: number): Promise<UntoldChange[]> {
  const [rows] = await pool.query<ChangeRow[]>(
    `SELECT tenant_id, customization_id, change_id, table_name, kind, effect, reason, schema_version, gtid, happened_at, retrain
     FROM modelwright_control.schema_changes
     WHERE told_at IS NULL AND (effect = 'rebuild' OR decision IS NULL) ORDER BY happened_at, change_id LIMIT ?`,
    [limit],
  );
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    change: {
      customizationId: row.customization_id,
      changeId: row.change_id,
      table: row.table_name,
      kind: row.kind,
      effect: row.effect,
      reason: row.reason,
      schemaVersion: row.schema_version,
      gtid: row.gtid,
      atMs: row.happened_at.getTime(),
      ...(row.retrain ? { retrain: true } : {}),
    },
  }));
}

export async function markTold(pool: Pool, { tenantId, change: { customizationId, changeId } }: UntoldChange): Promise<void> {
  await pool.query(
    `UPDATE modelwright_control.schema_changes SET told_at = UTC_TIMESTAMP(6)
     WHERE tenant_id = ? AND customization_id = ? AND change_id = ?`,
    [tenantId, customizationId, changeId],
  );
}
