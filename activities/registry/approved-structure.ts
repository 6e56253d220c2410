import type { CustomizationKey } from '../../core/ids.ts';
import type { TableColumns } from '../../core/table-structure.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';

/** The structure that datasets of a customization may be read with. */
export type ApprovedStructure = {
  /** `database.table`. */
  readonly name: string;
  readonly version: number;
  readonly columns: TableColumns;
};

type ApprovedRow = RowDataPacket & { table_name: string; schema_version: number; columns: TableColumns };

export async function approvedStructure(connection: Pool | PoolConnection, key: CustomizationKey): Promise<ApprovedStructure | null> {
  const [rows] = await connection.query<ApprovedRow[]>(
    `SELECT table_name, schema_version, columns FROM modelwright_control.approved_structures
     WHERE tenant_id = ? AND customization_id = ?`,
    [key.tenantId, key.customizationId],
  );
  const row = rows[0];
  return row ? { name: row.table_name, version: row.schema_version, columns: row.columns } : null;
}

/** A build that ends late does not take back what was approved since: a lower version changes nothing. */
export async function approveStructure(
  connection: Pool | PoolConnection,
  key: CustomizationKey,
  structure: ApprovedStructure,
): Promise<void> {
  const { name, version, columns } = structure;
  const of = [key.tenantId, key.customizationId];
  const values = [name, version, JSON.stringify(columns)];
  await connection.query(
    `INSERT IGNORE INTO modelwright_control.approved_structures
       (tenant_id, customization_id, table_name, schema_version, columns) VALUES (?, ?, ?, ?, ?)`,
    [...of, ...values],
  );
  await connection.query(
    `UPDATE modelwright_control.approved_structures
     SET table_name = ?, schema_version = ?, columns = ?, approved_at = UTC_TIMESTAMP(6)
     WHERE tenant_id = ? AND customization_id = ? AND (table_name <> ? OR schema_version <= ?)`,
    [...values, ...of, name, version],
  );
}
