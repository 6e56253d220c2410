import type { Pool, PoolConnection, RowDataPacket } from '../platform/mysql.ts';

export type TableColumn = {
  readonly name: string;
  /** Type without its length, lower case: `varchar`, `bigint`. */
  readonly type: string;
  /** Type as the table's owner wrote it: `varchar(40)`, `bigint unsigned`. */
  readonly fullType: string;
  readonly unsigned: boolean;
  readonly nullable: boolean;
  /** Null where the type has no characters. */
  readonly charset: string | null;
  readonly generated: boolean;
  /** Digits after the point of a DECIMAL. */
  readonly scale: number | null;
};

export type TableStructure = {
  /** Names as the server spells them. */
  readonly database: string;
  readonly table: string;
  /** `BASE TABLE` or `VIEW`. */
  readonly kind: string;
  readonly engine: string | null;
  readonly columns: readonly TableColumn[];
  /** Columns of the primary key, in its order; none: it has no primary key. */
  readonly primaryKey: readonly string[];
  /** Columns of every key that no two rows share and that has no NULLs; the primary key first. */
  readonly uniqueKeys: readonly (readonly string[])[];
};

type TableRow = RowDataPacket & { db: string; name: string; kind: string; engine: string | null };
type ColumnRow = RowDataPacket & {
  name: string;
  type: string;
  full_type: string;
  nullable: string;
  charset_name: string | null;
  extra: string;
  scale: string | number | null;
};
type KeyRow = RowDataPacket & { key_name: string; column_name: string | null; nullable: string | null };

/** What the server tells about a table; null where there is none, or where our user may not see it. */
export async function readStructure(connection: Pool | PoolConnection, database: string, table: string): Promise<TableStructure | null> {
  const [tables] = await connection.query<TableRow[]>(
    `SELECT TABLE_SCHEMA AS db, TABLE_NAME AS name, TABLE_TYPE AS kind, ENGINE AS engine FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`,
    [database, table],
  );
  const found = tables[0];
  if (!found) return null;
  const [columns] = await connection.query<ColumnRow[]>(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_TYPE AS full_type, IS_NULLABLE AS nullable, CHARACTER_SET_NAME AS charset_name,
       EXTRA AS extra, NUMERIC_SCALE AS scale
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`,
    [database, table],
  );
  const [keys] = await connection.query<KeyRow[]>(
    `SELECT INDEX_NAME AS key_name, COLUMN_NAME AS column_name, NULLABLE AS nullable FROM information_schema.STATISTICS
     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX`,
    [database, table],
  );
  const byKey = Map.groupBy(keys, ({ key_name }) => key_name);
  // A key over an expression has a column without a name; one with NULLs does not tell rows apart.
  const unique = [...byKey].filter(([, parts]) => parts.every(({ column_name, nullable }) => column_name !== null && nullable !== 'YES'));
  const columnsOf = (parts: readonly KeyRow[]): string[] => parts.map(({ column_name }) => column_name ?? '');
  const primaryKey = columnsOf(byKey.get('PRIMARY') ?? []);
  return {
    database: found.db,
    table: found.name,
    kind: found.kind,
    engine: found.engine,
    columns: columns.map((column) => ({
      name: column.name,
      type: column.type.toLowerCase(),
      fullType: column.full_type,
      unsigned: column.full_type.toLowerCase().includes('unsigned'),
      nullable: column.nullable === 'YES',
      charset: column.charset_name,
      generated: /VIRTUAL GENERATED|STORED GENERATED/i.test(column.extra),
      scale: column.scale === null ? null : Number(column.scale),
    })),
    primaryKey,
    uniqueKeys: [
      ...(primaryKey.length > 0 ? [primaryKey] : []),
      ...unique.filter(([name]) => name !== 'PRIMARY').map(([, parts]) => columnsOf(parts)),
    ],
  };
}

export const columnOf = (structure: Pick<TableStructure, 'columns'>, name: string): TableColumn | undefined =>
  structure.columns.find((column) => column.name === name);
