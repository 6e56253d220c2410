import type { BusinessModel } from '../catalog/catalog.ts';
import { fineBuckets } from '../core/dirty-buckets.ts';
import { exampleIdPattern } from '../core/ids.ts';
import type { Json } from '../core/json.ts';
import { type SourceMapping, sourceName } from '../core/source-mapping.ts';
import { type Pool, type PoolConnection, type RowDataPacket, streamRows } from '../platform/mysql.ts';
import { type ColumnReading, keyTextOf, readingOf } from './column-reading.ts';
import { fieldTypesOf, requiredFieldsOf } from './example-fields.ts';
import { quoted, quotedTable } from './quoting.ts';
import { type TableColumn, type TableStructure, columnOf, readStructure } from './table-structure.ts';

/** The table cannot be read as it is mapped: a sentence for its owner. */
export class SourceUnreadable extends Error {
  override name = 'SourceUnreadable';
}

/** A row as an example. `problem`: why it is none, as `/field word`; never a value. */
export type MappedRow = {
  readonly id: string;
  /** First byte of SHA-256 of the id. */
  readonly fine: number;
  readonly content: { readonly [field: string]: Json };
  readonly problem: string | null;
};

type Row = RowDataPacket & { readonly [column: string]: string | null };

/** Exact comparison, whatever the column's own collation takes for equal. */
const exactly = 'COLLATE utf8mb4_0900_bin';
/** A bucket's rows are sorted with their texts; the server's default buffer is too small for long ones. */
const sortBuffer = '/*+ SET_VAR(sort_buffer_size = 16777216) */';
const maxShownId = 128;

const typed = ({ type, unsigned }: TableColumn): string => {
  if (type === 'decimal') return 'CAST(? AS DECIMAL(65, 0))';
  return type.endsWith('int') ? `CAST(? AS ${unsigned ? 'UNSIGNED' : 'SIGNED'})` : '?';
};

/** Reads a mapped table through its structure as it was when it was opened: every value as text, in its exact form. */
export class MappedTable {
  readonly structure: TableStructure;
  readonly #fields: readonly (readonly [field: string, reading: ColumnReading])[];
  readonly #required: ReadonlySet<string>;
  readonly #from: string;
  readonly #filterColumn: string | null;
  readonly #filter: { readonly sql: string; readonly values: readonly string[] };
  readonly #id: { readonly column: TableColumn; readonly text: string };
  readonly #fine: string;
  readonly #select: string;
  /** Digest of all that an example is made of. */
  readonly #row: string;
  readonly #maxTextChars: number;

  constructor(mapping: SourceMapping, structure: TableStructure, model: Pick<BusinessModel, 'exampleSchema'>, maxTextChars: number) {
    const name = sourceName(mapping);
    const column = (of: string): TableColumn => {
      const found = columnOf(structure, of);
      if (!found)
        throw new SourceUnreadable(`${name} has no column ${of} any more: map another column with \`PATCH /v1/customizations/{id}\``);
      return found;
    };
    const keyText = (of: TableColumn): string => {
      const text = keyTextOf(of);
      if ('problem' in text) throw new SourceUnreadable(`column ${of.name} of ${name} ${text.problem}`);
      return text.sql;
    };
    this.structure = structure;
    this.#maxTextChars = maxTextChars;
    this.#from = quotedTable(mapping);
    const idColumn = column(mapping.columns.id);
    this.#id = { column: idColumn, text: keyText(idColumn) };
    this.#fine = `CAST(CONV(SUBSTR(SHA2(${this.#id.text}, 256), 1, 2), 16, 10) AS UNSIGNED)`;
    this.#required = new Set(requiredFieldsOf(model));
    this.#fields = Object.entries(mapping.columns)
      .filter(([field]) => field !== 'id')
      .map(([field, of]) => {
        const found = column(of);
        const reading = readingOf(found, fieldTypesOf(model, field));
        if ('problem' in reading) throw new SourceUnreadable(`column ${of} of ${name} ${reading.problem}`);
        return [field, reading] as const;
      });
    this.#filterColumn = mapping.filter?.column ?? null;
    if (mapping.filter) {
      const by = column(mapping.filter.column);
      // The first comparison can use an index, the second decides.
      const sql = `${quoted(by.name)} = ${typed(by)} AND ${keyText(by)} ${exactly} = ?`;
      this.#filter = { sql, values: [mapping.filter.equals, mapping.filter.equals] };
    } else this.#filter = { sql: 'TRUE', values: [] };
    const texts = this.#fields.map(([, { sql, long }]) => (long ? `LEFT(${sql}, ${maxTextChars + 1})` : sql));
    this.#select = [`${this.#id.text} AS id`, `${this.#fine} AS fine`, ...texts.map((text, i) => `${text} AS f${i}`)].join(', ');
    const parts = [this.#id.text, ...texts].map((text) => `COALESCE(SHA2(${text}, 256), '-')`);
    this.#row = `UNHEX(SHA2(CONCAT(${parts.join(', ')}), 256))`;
  }

  /** With this index a changed bucket is read as a range of it, and not by a scan. Its owner decides whether it is worth its place. */
  get bucketIndex(): string {
    const by = this.#filterColumn === null ? '' : `${quoted(this.#filterColumn)}, `;
    return `CREATE INDEX mw_bucket ON ${this.#from} (${by}(${this.#fine}))`;
  }

  async count(connection: Pool | PoolConnection): Promise<number> {
    const sql = `SELECT COUNT(*) AS total FROM ${this.#from} WHERE ${this.#filter.sql}`;
    const [rows] = await connection.query<Row[]>(sql, [...this.#filter.values]);
    return Number(rows[0]?.['total'] ?? 0);
  }

  /**
   * A digest of each finest bucket as it is now, made by the server in one pass: buckets with equal ones have equal rows, whatever the log has
   * told or not told yet. '' for a bucket without rows.
   */
  async fingerprints(connection: Pool | PoolConnection): Promise<string[]> {
    const [rows] = await connection.query<Row[]>(
      `SELECT ${this.#fine} AS fine, COUNT(*) AS total, HEX(BIT_XOR(${this.#row})) AS digest
       FROM ${this.#from} WHERE ${this.#filter.sql} GROUP BY fine`,
      [...this.#filter.values],
    );
    const prints = Array.from({ length: fineBuckets }, () => '');
    for (const { fine, total, digest } of rows) prints[Number(fine)] = `${total}:${digest?.toLowerCase()}`;
    return prints;
  }

  /** Rows of the finest buckets, by bucket and then by id; null: of all. One pass over the filtered rows, whatever the number of buckets. */
  async *buckets(connection: PoolConnection, fine: readonly number[] | null): AsyncGenerator<MappedRow> {
    if (fine?.length === 0) return;
    const within = fine === null ? '' : ` AND ${this.#fine} IN (${fine.join(', ')})`;
    const sql = `SELECT ${sortBuffer} ${this.#select} FROM ${this.#from} WHERE ${this.#filter.sql}${within}
      ORDER BY fine, id ${exactly}`;
    for await (const row of streamRows<Row>(connection, sql, this.#filter.values)) yield this.#shaped(row);
  }

  /** Rows by the id's own order, after one of them. */
  async page(connection: Pool | PoolConnection, after: string | null, limit: number): Promise<MappedRow[]> {
    const from = after === null ? '' : ` AND ${quoted(this.#id.column.name)} > ${typed(this.#id.column)}`;
    const [rows] = await connection.query<Row[]>(
      `SELECT ${this.#select} FROM ${this.#from} WHERE ${this.#filter.sql}${from} ORDER BY ${quoted(this.#id.column.name)} LIMIT ?`,
      [...this.#filter.values, ...(after === null ? [] : [after]), limit],
    );
    return rows.map((row) => this.#shaped(row));
  }

  async *all(connection: PoolConnection): AsyncGenerator<MappedRow> {
    const sql = `SELECT ${this.#select} FROM ${this.#from} WHERE ${this.#filter.sql} ORDER BY ${quoted(this.#id.column.name)}`;
    for await (const row of streamRows<Row>(connection, sql, this.#filter.values)) yield this.#shaped(row);
  }

  async one(connection: Pool | PoolConnection, id: string): Promise<MappedRow | null> {
    const { column, text } = this.#id;
    const sql = `SELECT ${this.#select} FROM ${this.#from}
      WHERE ${this.#filter.sql} AND ${quoted(column.name)} = ${typed(column)} AND ${text} ${exactly} = ?`;
    const [rows] = await connection.query<Row[]>(sql, [...this.#filter.values, id, id]);
    return rows[0] ? this.#shaped(rows[0]) : null;
  }

  #shaped(row: Row): MappedRow {
    const id = row['id'] ?? '';
    let problem = exampleIdPattern.test(id) ? null : '/id invalid_format';
    const content: Record<string, Json> = {};
    this.#fields.forEach(([field, reading], i) => {
      const text = row[`f${i}`] ?? null;
      const read =
        reading.long && text !== null && text.length > this.#maxTextChars && Array.from(text).length > this.#maxTextChars
          ? { problem: 'too_big' }
          : reading.read(text);
      if ('problem' in read) problem ??= `/${field} ${read.problem}`;
      else if (read.value !== undefined) content[field] = read.value;
      else if (this.#required.has(field)) problem ??= `/${field} null`;
    });
    return { id: id.slice(0, maxShownId), fine: Number(row['fine']), content, problem };
  }
}

/** Opens a mapped table with the structure that it has now. Fails with SourceUnreadable. */
export async function openMappedTable(
  connection: Pool | PoolConnection,
  mapping: SourceMapping,
  model: Pick<BusinessModel, 'exampleSchema'>,
  maxTextChars: number,
): Promise<MappedTable> {
  const structure = await readStructure(connection, mapping.database, mapping.table);
  if (!structure)
    throw new SourceUnreadable(
      `table ${sourceName(mapping)} is not there any more, or our MySQL user may not read it: restore it, or GRANT SELECT on it again`,
    );
  return new MappedTable(mapping, structure, model, maxTextChars);
}
