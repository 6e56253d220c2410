import { type TableColumns, column } from '../core/table-structure.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../platform/mysql.ts';

type ColumnRow = RowDataPacket & {
  name: string;
  type: string;
  full_type: string;
  characters: string | number | null;
  digits: string | number | null;
  scale: string | number | null;
  fraction: string | number | null;
  charset_name: string | null;
  nullable: string;
};

const number = (value: string | number | null): number | null => (value === null ? null : Number(value));

/** Members of `enum('a','it''s')`. */
const membersOf = (fullType: string): string[] | null =>
  /^(enum|set)\(/i.test(fullType)
    ? [...fullType.matchAll(/'((?:[^']|'')*)'/g)].map((match) => (match[1] ?? '').replaceAll("''", "'"))
    : null;

/** The structure of a table as the server has it now; null where there is none, or where our user may not see it. */
export async function readColumns(connection: Pool | PoolConnection, database: string, table: string): Promise<TableColumns | null> {
  const [rows] = await connection.query<ColumnRow[]>(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_TYPE AS full_type, CHARACTER_MAXIMUM_LENGTH AS characters,
       NUMERIC_PRECISION AS digits, NUMERIC_SCALE AS scale, DATETIME_PRECISION AS fraction, CHARACTER_SET_NAME AS charset_name,
       IS_NULLABLE AS nullable
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`,
    [database, table],
  );
  if (rows.length === 0) return null;
  return rows.map((row) =>
    column({
      name: row.name,
      type: /unsigned/i.test(row.full_type.replaceAll(/\(.*\)/g, '')) ? `${row.type} unsigned` : row.type,
      length: number(row.characters) ?? number(row.fraction) ?? number(row.digits),
      scale: number(row.scale),
      charset: row.charset_name,
      nullable: row.nullable === 'YES',
      values: membersOf(row.full_type),
    }),
  );
}
