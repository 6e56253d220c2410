import type { SourceMapping } from '../core/source-mapping.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../platform/mysql.ts';

/** A table that the operator let a tenant map; with a filter, only rows of that value. */
export type SourceGrant = {
  readonly tenantId: string;
  readonly database: string;
  readonly table: string;
  readonly filter: SourceMapping['filter'];
  readonly approvedBy: string;
  readonly approvedAt: Date;
};

type GrantRow = RowDataPacket & {
  tenant_id: string;
  database_name: string;
  table_name: string;
  filter_column: string | null;
  filter_value: string | null;
  approved_by: string;
  approved_at: Date;
};

const fromRow = (row: GrantRow): SourceGrant => ({
  tenantId: row.tenant_id,
  database: row.database_name,
  table: row.table_name,
  filter: row.filter_column === null ? null : { column: row.filter_column, equals: row.filter_value ?? '' },
  approvedBy: row.approved_by,
  approvedAt: row.approved_at,
});

type Connection = Pool | PoolConnection;

export async function grantsOf(connection: Connection, tenantId: string): Promise<SourceGrant[]> {
  const [rows] = await connection.query<GrantRow[]>(
    'SELECT * FROM modelwright_control.source_grants WHERE tenant_id = ? ORDER BY database_name, table_name',
    [tenantId],
  );
  return rows.map(fromRow);
}

export async function grantsOfTable(connection: Connection, database: string, table: string): Promise<SourceGrant[]> {
  const [rows] = await connection.query<GrantRow[]>(
    'SELECT * FROM modelwright_control.source_grants WHERE database_name = ? AND table_name = ? ORDER BY tenant_id',
    [database, table],
  );
  return rows.map(fromRow);
}

/** With a lock the grant cannot go (`FOR SHARE`) or be mapped (`FOR UPDATE`) until the transaction ends. */
export async function findGrant(
  connection: Connection,
  tenantId: string,
  table: { readonly database: string; readonly table: string },
  lock: '' | 'FOR SHARE' | 'FOR UPDATE' = '',
): Promise<SourceGrant | null> {
  const [rows] = await connection.query<GrantRow[]>(
    `SELECT * FROM modelwright_control.source_grants WHERE tenant_id = ? AND database_name = ? AND table_name = ? ${lock}`,
    [tenantId, table.database, table.table],
  );
  return rows[0] ? fromRow(rows[0]) : null;
}

/** False if the tenant has a grant of the table already. */
export async function insertGrant(connection: PoolConnection, grant: Omit<SourceGrant, 'approvedAt'>): Promise<boolean> {
  const [result] = await connection.query(
    `INSERT IGNORE INTO modelwright_control.source_grants
       (tenant_id, database_name, table_name, filter_column, filter_value, approved_by) VALUES (?, ?, ?, ?, ?, ?)`,
    [grant.tenantId, grant.database, grant.table, grant.filter?.column ?? null, grant.filter?.equals ?? null, grant.approvedBy],
  );
  return (result as { affectedRows: number }).affectedRows === 1;
}

export async function deleteGrant(connection: PoolConnection, { tenantId, database, table }: SourceGrant): Promise<void> {
  await connection.query('DELETE FROM modelwright_control.source_grants WHERE tenant_id = ? AND database_name = ? AND table_name = ?', [
    tenantId,
    database,
    table,
  ]);
}

type MappedRow = RowDataPacket & { customization_id: string; state: string | null; detail: string | null };
export type MappedBy = { readonly customizationId: string; readonly state: string; readonly detail: string | null };

/** Customizations of the tenant that map the table, and how far its capture is for them. */
export async function mappedBy(connection: Connection, { tenantId, database, table }: SourceGrant): Promise<MappedBy[]> {
  const [rows] = await connection.query<MappedRow[]>(
    `SELECT c.customization_id, k.state, k.detail FROM modelwright.customizations c
     LEFT JOIN modelwright_control.source_capture k ON k.tenant_id = c.tenant_id AND k.customization_id = c.customization_id
     WHERE c.tenant_id = ? AND c.source->>'$.database' = ? AND c.source->>'$.table' = ? ORDER BY c.customization_id`,
    [tenantId, database, table],
  );
  return rows.map(({ customization_id, state, detail }) => ({ customizationId: customization_id, state: state ?? 'starting', detail }));
}

/** Why the grant would let two tenants see the same rows; null: it does not. */
export function overlapProblem(wanted: Pick<SourceGrant, 'tenantId' | 'filter'>, others: readonly SourceGrant[]): string | null {
  const overlapping = others.find(
    ({ tenantId, filter }) =>
      tenantId !== wanted.tenantId &&
      !(filter && wanted.filter && filter.column === wanted.filter.column && filter.equals !== wanted.filter.equals),
  );
  if (!overlapping) return null;
  const theirs = overlapping.filter ? `rows whose ${overlapping.filter.column} is "${overlapping.filter.equals}"` : 'all rows';
  return `tenant ${overlapping.tenantId} was granted ${theirs} of this table: give each tenant a filter on one common column with a value of its own`;
}
