import { type SourceMapping, mappedColumns, sourceName } from '../../../core/source-mapping.ts';
import type { SchemaPolicy } from '../../../core/schema-change.ts';
import { managedColumns, managedTable } from '../../../core/managed-table.ts';
import type { PoolConnection, RowDataPacket } from '../../../platform/mysql.ts';

/** A customization that reads a table. */
export type TableReader = {
  readonly tenantId: string;
  readonly customizationId: string;
  readonly policy: SchemaPolicy;
  /** Null: its examples are kept in our own table. */
  readonly source: SourceMapping | null;
  readonly columns: readonly string[];
};

type ReaderRow = RowDataPacket & { tenant_id: string; customization_id: string; schema_policy: SchemaPolicy; source: SourceMapping | null };

/** Customizations by the table that they read: of one table, or of every table of a database. */
export async function readersOf(connection: PoolConnection, database: string, table: string | null): Promise<Map<string, TableReader[]>> {
  const mapped = "source->>'$.database' = ?";
  const [rows] = await connection.query<ReaderRow[]>(
    `SELECT tenant_id, customization_id, schema_policy, source FROM modelwright.customizations
     WHERE ${table === null ? mapped : `${mapped} AND source->>'$.table' = ?`} OR (? AND (source IS NULL OR JSON_TYPE(source) = 'NULL'))`,
    [database, ...(table === null ? [] : [table]), isManaged(database, table)],
  );
  const readers = rows.map(({ tenant_id, customization_id, schema_policy, source }) => ({
    tenantId: tenant_id,
    customizationId: customization_id,
    policy: schema_policy,
    source,
    columns: source ? mappedColumns(source) : managedColumns,
  }));
  return Map.groupBy(readers, ({ source }) => sourceName(source ?? managedTable));
}

const isManaged = (database: string, table: string | null): boolean =>
  database === managedTable.database && (table === null || table === managedTable.table);
