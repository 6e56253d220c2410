import type { LogPosition } from '../../../core/change-digest.ts';
import { capturedTables, managedTable } from '../../../core/managed-table.ts';
import type { Renames } from '../../../core/structure-change.ts';
import { type TableColumns, column } from '../../../core/table-structure.ts';
import type { FeedRecord } from '../change-feed.ts';
import { type DdlStatement, type TableName, parseDdl } from './ddl-statement.ts';

/** What one statement did to one table, in the words of the log. */
export type TableEvent = {
  readonly database: string;
  /** Null: every table of the database. */
  readonly table: string | null;
  readonly position: LogPosition;
  readonly atMs: number;
  readonly ddl: string;
  readonly change:
    | { readonly kind: 'structure'; readonly columns: TableColumns; readonly renames: Renames; readonly rowsRemoved: boolean }
    | { readonly kind: 'truncated' | 'dropped' }
    | { readonly kind: 'renamed'; readonly to: string }
    /** The structure that a snapshot found, not a statement. */
    | { readonly kind: 'found'; readonly columns: TableColumns };
};

export type DecodedSchema =
  | { readonly kind: 'events'; readonly events: readonly TableEvent[] }
  | { readonly kind: 'undecodable'; readonly reason: string };

type Fields = { readonly [name: string]: unknown };

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);
/** Undefined: not JSON. */
function parsed(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}
const nothing: DecodedSchema = { kind: 'events', events: [] };

/** Reads an event of a schema-change topic (Debezium 3.6, JSON without schemas; recorded shapes lie in test/recorded). */
export function decodeSchemaEvent(record: Pick<FeedRecord, 'value'>): DecodedSchema {
  if (record.value === null || record.value.length === 0) return nothing;
  const event = parsed(record.value);
  if (event === undefined) return { kind: 'undecodable', reason: 'the value is not JSON' };
  if (!isFields(event) || typeof event['ddl'] !== 'string')
    return { kind: 'undecodable', reason: 'field ddl is missing: not a schema change' };
  const { ddl, source, databaseName, tableChanges } = event;
  if (!isFields(source) || typeof source['file'] !== 'string' || typeof source['pos'] !== 'number')
    return { kind: 'undecodable', reason: 'field source has no file and pos' };
  const position: LogPosition = { gtid: textOf(source['gtid']), file: source['file'], pos: source['pos'], row: 0 };
  const from = { position, atMs: numberOf(source['ts_ms']) ?? 0, ddl };
  const structures = Array.isArray(tableChanges) ? tableChanges.flatMap(tableChange) : [];
  if (textOf(source['snapshot']) !== '' && source['snapshot'] !== 'false')
    // The DROP and CREATE statements of a snapshot rebuild the connector's memory, not the table.
    return {
      kind: 'events',
      events: structures.flatMap(({ name, columns }) =>
        columns ? [{ ...from, ...name, change: { kind: 'found', columns } as const }] : [],
      ),
    };
  const events = statementEvents(parseDdl(ddl), textOf(databaseName), new Set(textOf(source['table']).split(',')), structures);
  return { kind: 'events', events: events.map((one) => ({ ...from, ...one })) };
}

type Structure = { readonly name: { readonly database: string; readonly table: string }; readonly columns: TableColumns | null };

/** `"shop"."reviews"` with its columns; null columns: dropped. */
function tableChange(value: unknown): Structure[] {
  if (!isFields(value)) return [];
  const id = /^"(.+)"\."(.+)"$/.exec(textOf(value['id']));
  if (!id) return [];
  const name = { database: id[1] ?? '', table: id[2] ?? '' };
  if (value['type'] === 'DROP') return [{ name, columns: null }];
  const { table } = value;
  if (!isFields(table) || !Array.isArray(table['columns'])) return [];
  return [{ name, columns: table['columns'].filter(isFields).map(columnOf) }];
}

const columnOf = (raw: Fields) =>
  column({
    name: textOf(raw['name']),
    type: textOf(raw['typeName']),
    length: numberOf(raw['length']),
    scale: numberOf(raw['scale']),
    charset: textOf(raw['charsetName']),
    nullable: raw['optional'] !== false,
    values: Array.isArray(raw['enumValues']) ? raw['enumValues'].map((value) => textOf(value).replace(/^'(.*)'$/s, '$1')) : null,
  });

type Told = Pick<TableEvent, 'database' | 'table' | 'change'>;

function statementEvents(
  statement: DdlStatement,
  database: string,
  targets: ReadonlySet<string>,
  structures: readonly Structure[],
): Told[] {
  const full = (name: TableName): { database: string; table: string } => ({ database: name.database ?? database, table: name.table });
  const told: Told[] = structures.map(({ name, columns }) => {
    if (!columns) return { ...name, change: { kind: 'dropped' } };
    const { columns: renames, rowsRemoved } = statement.kind === 'alter' ? statement : { columns: {}, rowsRemoved: false };
    return { ...name, change: { kind: 'structure', columns, renames, rowsRemoved } };
  });
  const leaves = (from: TableName, to: TableName): void => {
    const [old, now] = [full(from), full(to)];
    // `source.table` names what the whole statement renamed to: a name among them is taken again at once, and what left is the old copy
    // of an online change (gh-ost, pt-online-schema-change). Its new structure comes with the event of the other pair.
    if (targets.has(old.table) && old.database === now.database) return;
    told.push({ ...old, change: { kind: 'renamed', to: `${now.database}.${now.table}` } });
  };
  if (statement.kind === 'rename_tables') for (const { from, to } of statement.pairs) leaves(from, to);
  if (statement.kind === 'alter' && statement.renamedTo) leaves(statement.table, statement.renamedTo);
  if (statement.kind === 'truncate') told.push({ ...full(statement.table), change: { kind: 'truncated' } });
  if (statement.kind === 'drop_database') told.push({ database: statement.database, table: null, change: { kind: 'dropped' } });
  return told;
}

/** A TRUNCATE is an event of the row topics, without a key and without rows; null for any other event, and for tables that nobody reads. */
export function decodeTruncate(record: Pick<FeedRecord, 'value'>): TableEvent | null {
  const event: unknown = record.value === null || record.value.length === 0 ? null : parsed(record.value);
  if (!isFields(event) || event['op'] !== 't' || !isFields(event['source'])) return null;
  const { db, table, gtid, file, pos, ts_ms: atMs } = event['source'];
  if (typeof db !== 'string' || typeof table !== 'string') return null;
  if (db === managedTable.database && !capturedTables.includes(table)) return null;
  const position: LogPosition = { gtid: textOf(gtid), file: textOf(file), pos: numberOf(pos) ?? 0, row: 0 };
  return { database: db, table, position, atMs: numberOf(atMs) ?? 0, ddl: `TRUNCATE TABLE ${table}`, change: { kind: 'truncated' } };
}
