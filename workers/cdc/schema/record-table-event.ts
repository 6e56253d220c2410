import { canonicalJsonOf } from '../../../core/json.ts';
import { type SchemaChangeKind, readChangePrefix } from '../../../core/schema-change.ts';
import { type SourceMapping, sourceName } from '../../../core/source-mapping.ts';
import { type Judged, type Renames, type StructureChange, judge, sentence, structureChanges } from '../../../core/structure-change.ts';
import type { TableColumns } from '../../../core/table-structure.ts';
import { sha256Hex } from '../../../platform/hash.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../../platform/mysql.ts';
import type { TableEvent } from './decode-schema-event.ts';
import { type TableReader, readersOf } from './readers.ts';

/** Statements are kept for people; a generated one of megabytes is not. */
const maxDdlChars = 4_000;
/** How our own migrations of captured tables name themselves: nobody needs to be asked about them. */
const ownMigration = /\/\*\s*modelwright migration\s*\*\//i;

type VersionRow = RowDataPacket & { version: number; columns: TableColumns | null };

/**
 * Writes down what a statement did to a table, and what it means for each customization that reads it: from this moment on no dataset is
 * read over it. Key: position in the log and table. Returns how many customizations must be told.
 */
export async function recordTableEvent(pool: Pool, event: TableEvent): Promise<number> {
  const connection = await pool.getConnection();
  try {
    await connection.beginTransaction();
    const readers = await readersOf(connection, event.database, event.table);
    const tables = new Set([...readers.keys()].map((name) => name.slice(name.indexOf('.') + 1)));
    // Also tables that nobody reads yet: the first mapping starts from a known version.
    if (event.table !== null) tables.add(event.table);
    let toTell = 0;
    for (const table of tables) toTell += await recordOne(connection, event, table, readers.get(`${event.database}.${table}`) ?? []);
    await connection.commit();
    connection.release();
    return toTell;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

async function recordOne(connection: PoolConnection, event: TableEvent, table: string, readers: readonly TableReader[]): Promise<number> {
  const { database, change, position } = event;
  const name = `${database}.${table}`;
  const [versions] = await connection.query<VersionRow[]>(
    'SELECT version, columns FROM modelwright_control.schema_versions WHERE database_name = ? AND table_name = ? ORDER BY version DESC FOR UPDATE',
    [database, table],
  );
  const latest = versions[0];
  const before = versions.find(({ columns }) => columns !== null)?.columns ?? null;
  // Shadow copies of online changes come and go: a table is followed from the first statement that somebody reads it.
  if (!latest && readers.length === 0 && change.kind !== 'found') return 0;
  const columns = change.kind === 'structure' || change.kind === 'found' ? change.columns : change.kind === 'truncated' ? before : null;
  if (change.kind === 'found') {
    if (latest && before && structureChanges(before, change.columns, []).length === 0 && latest.columns !== null) return 0;
  } else if (await isRecorded(connection, event, table)) return 0;
  const version = (latest?.version ?? 0) + 1;
  const digest = sha256Hex(canonicalJsonOf(columns));
  await connection.query('INSERT INTO modelwright_control.schema_versions SET ?', {
    database_name: database,
    table_name: table,
    version,
    columns: columns && JSON.stringify(columns),
    digest,
    gtid: position.gtid,
    log_file: change.kind === 'found' ? '' : position.file,
    log_pos: change.kind === 'found' ? 0 : position.pos,
    ddl: change.kind === 'found' ? null : event.ddl.slice(0, maxDdlChars),
  });
  let toTell = 0;
  for (const reader of readers) {
    const changes = changesFor(event, name, before, reader);
    const judged = judge((await isApproved(connection, reader, name, columns)) ? changes.map(asKnown) : changes, reader.policy);
    if (judged)
      toTell += await recordFor(connection, reader, event, name, version, columns, ownMigration.test(event.ddl) ? asOwn(judged) : judged);
  }
  return toTell;
}

async function isRecorded(connection: PoolConnection, { database, position }: TableEvent, table: string): Promise<boolean> {
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT 1 FROM modelwright_control.schema_versions WHERE database_name = ? AND table_name = ? AND gtid = ? AND log_file = ? AND log_pos = ?',
    [database, table, position.gtid, position.file, position.pos],
  );
  return rows.length > 0;
}

/** A person has accepted this very structure before the log told of it: a reader had met it first. */
async function isApproved(connection: PoolConnection, reader: TableReader, name: string, columns: TableColumns | null): Promise<boolean> {
  const [rows] = await connection.query<(RowDataPacket & { columns: TableColumns })[]>(
    `SELECT columns FROM modelwright_control.approved_structures WHERE tenant_id = ? AND customization_id = ? AND table_name = ?`,
    [reader.tenantId, reader.customizationId, name],
  );
  return Boolean(columns && rows[0] && structureChanges(rows[0].columns, columns, reader.columns).length === 0);
}

const ofColumns: ReadonlySet<SchemaChangeKind> = new Set([
  'mapped_column_added',
  'type_narrowed',
  'charset_changed',
  'column_renamed',
  'column_dropped',
]);
const asKnown = (change: StructureChange): StructureChange => (ofColumns.has(change.kind) ? { ...change, kind: 'other' } : change);

const asOwn = (judged: Judged): Judged => (judged.effect === 'held' ? { ...judged, effect: 'rebuild' } : judged);

function changesFor({ change }: TableEvent, name: string, before: TableColumns | null, reader: TableReader): StructureChange[] {
  switch (change.kind) {
    case 'truncated':
      return [{ kind: 'table_truncated', columns: [], what: 'the table was truncated' }];
    case 'dropped':
      return [{ kind: 'table_dropped', columns: [], what: 'the table was dropped' }];
    case 'renamed':
      return [{ kind: 'table_renamed', columns: [], what: `the table was renamed to ${change.to}` }];
    default: {
      const renames = change.kind === 'structure' ? change.renames : {};
      const changes = before ? structureChanges(before, change.columns, reader.columns, renames) : [];
      if (change.kind === 'structure' && change.rowsRemoved)
        changes.push({ kind: 'other', columns: [], what: 'rows may have left with a partition, without row events', rowsRemoved: true });
      if (changes.length === 0 && change.kind === 'structure')
        changes.push({ kind: 'other', columns: [], what: `keys, partitions or options of ${name} changed, no column` });
      return changes;
    }
  }
}

async function recordFor(
  connection: PoolConnection,
  reader: TableReader,
  event: TableEvent,
  name: string,
  version: number,
  columns: TableColumns | null,
  judged: Judged,
): Promise<number> {
  const { tenantId, customizationId } = reader;
  const { gtid, file, pos } = event.position;
  const held = judged.effect === 'held';
  const at = new Date(event.atMs);
  const key = [tenantId, customizationId];
  // What a comparison met before the log told of it is the same change.
  await connection.query(
    `UPDATE modelwright_control.schema_changes SET decision = 'log', decided_by = 'change consumer', decided_at = UTC_TIMESTAMP(6)
     WHERE tenant_id = ? AND customization_id = ? AND table_name = ? AND change_id LIKE ? AND decision IS NULL`,
    [...key, name, `${readChangePrefix}%`],
  );
  await connection.query('INSERT IGNORE INTO modelwright_control.schema_changes SET ?', {
    tenant_id: tenantId,
    customization_id: customizationId,
    change_id: `${gtid === '' ? `${file}:${pos}` : gtid}/${name}`,
    table_name: name,
    kind: judged.kind,
    effect: judged.effect,
    reason: sentence(name, judged),
    schema_version: version,
    gtid,
    happened_at: at,
    retrain: judged.retrain,
    told_at: judged.effect === 'recorded' ? at : null,
    ...(held ? {} : { decision: 'policy', decided_by: `policy ${reader.policy}`, decided_at: at }),
  });
  if (!held && columns) {
    await connection.query(
      `INSERT INTO modelwright_control.approved_structures (tenant_id, customization_id, table_name, schema_version, columns)
       VALUES (?, ?, ?, ?, ?) AS told
       ON DUPLICATE KEY UPDATE table_name = told.table_name, schema_version = told.schema_version, columns = told.columns,
         approved_at = UTC_TIMESTAMP(6)`,
      [...key, name, version, JSON.stringify(columns)],
    );
    const adopts = reader.policy === 'adopt' || reader.policy === 'adopt_and_retrain';
    if (adopts && event.change.kind === 'structure' && reader.source) await follow(connection, reader, reader.source, event.change.renames);
  }
  return judged.effect === 'recorded' ? 0 : 1;
}

/** Where the policy adopts a renamed column, the mapping goes with it. */
async function follow(connection: PoolConnection, reader: TableReader, source: SourceMapping, renames: Renames): Promise<void> {
  const renamed = (column: string): string =>
    Object.entries(renames).find(([from]) => from.toLowerCase() === column.toLowerCase())?.[1] ?? column;
  const columns = Object.fromEntries(Object.entries(source.columns).map(([field, column]) => [field, renamed(column)]));
  const filter = source.filter && { ...source.filter, column: renamed(source.filter.column) };
  const followed = { ...source, columns, filter };
  if (JSON.stringify(followed) === JSON.stringify(source)) return;
  const key = [reader.tenantId, reader.customizationId];
  await connection.query(
    'UPDATE modelwright.customizations SET source = ?, updated_at = UTC_TIMESTAMP(6) WHERE tenant_id = ? AND customization_id = ?',
    [JSON.stringify(followed), ...key],
  );
  // The operator's grant names the same column.
  for (const [from, to] of Object.entries(renames))
    await connection.query(
      `UPDATE modelwright_control.source_grants SET filter_column = ?
       WHERE tenant_id = ? AND database_name = ? AND table_name = ? AND LOWER(filter_column) = LOWER(?)`,
      [to, reader.tenantId, source.database, source.table, from],
    );
  await connection.query('INSERT INTO modelwright_control.audit (tenant_id, actor, action, detail) VALUES (?, ?, ?, ?)', [
    reader.tenantId,
    `policy ${reader.policy}`,
    'schema.follow',
    JSON.stringify({ customizationId: reader.customizationId, table: sourceName(source), renames }),
  ]);
}
