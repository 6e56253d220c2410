import { managedColumns, managedTable } from '../../core/managed-table.ts';
import type { SchemaAction, SchemaChangeKind, SchemaDecided } from '../../core/schema-change.ts';
import { type SourceMapping, mappedColumns, sourceName } from '../../core/source-mapping.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { readColumns } from '../../sources/table-columns.ts';
import { failure } from '../failure.ts';
import type { ControlActivities } from '../ports.ts';
import { approveStructure } from './approved-structure.ts';
import { audit } from './audit.ts';
import { inTransaction } from './database.ts';

type Input = Parameters<ControlActivities['decideSchema']>[0];
type SourceRow = RowDataPacket & { source: SourceMapping | null };
type ChangeRow = RowDataPacket & { change_id: string; kind: SchemaChangeKind; schema_version: number; decision: SchemaAction | null };
type GrantRow = RowDataPacket & { filter_column: string | null; filter_value: string | null };
type VersionRow = RowDataPacket & { version: string | null };

const changeColumns = 'change_id, kind, schema_version, decision';
const scope = 'tenant_id = ? AND customization_id = ?';

/** A person's answer to what is held. Key: requestKey. What cannot be read afterwards is refused with the remedy. */
export const decideSchema = (pool: Pool, input: Input): Promise<SchemaDecided> =>
  inTransaction(pool, async (connection) => {
    const { tenantId, customizationId, requestKey, changeId, action, actor, reason } = input;
    const key = [tenantId, customizationId];
    const [rows] = await connection.query<SourceRow[]>(`SELECT source FROM modelwright.customizations WHERE ${scope} FOR UPDATE`, key);
    if (!rows[0]) throw failure('CustomizationGone', `tenant ${tenantId} has no customization ${customizationId}`);
    const [known] = await connection.query<ChangeRow[]>(
      `SELECT ${changeColumns} FROM modelwright_control.schema_changes WHERE ${scope} AND decision_key = ?`,
      [...key, requestKey],
    );
    if (known.length > 0) return decided(known, action);
    const [waiting] = await connection.query<ChangeRow[]>(
      `SELECT ${changeColumns} FROM modelwright_control.schema_changes
       WHERE ${scope} AND effect = 'held' AND decision IS NULL ${changeId === null ? '' : 'AND change_id = ?'} FOR UPDATE`,
      [...key, ...(changeId === null ? [] : [changeId])],
    );
    if (waiting.length === 0) throw failure('BadOptions', `no change of structure of ${customizationId} waits for an answer`);
    if (action === 'ignore' && waiting.some(({ kind }) => kind === 'table_truncated'))
      throw failure(
        'BadOptions',
        'the rows are gone and cannot be ignored: restore them, then approve; or approve that the model forgets them',
      );

    const source = action === 'remap' ? await remapped(connection, input, rows[0].source) : rows[0].source;
    const { database, table } = source ?? managedTable;
    const found = await readColumns(connection, database, table);
    const name = sourceName({ database, table });
    if (!found) throw failure('BadOptions', `there is no table ${name}: restore it, or remap to another table`);
    const missing = (source ? mappedColumns(source) : managedColumns).filter(
      (wanted) => !found.some((column) => column.name.toLowerCase() === wanted.toLowerCase()),
    );
    if (missing.length > 0)
      throw failure('BadOptions', `${name} has no column ${missing.join(', ')}: restore it, or remap to another column`);

    if (action === 'remap')
      await connection.query(`UPDATE modelwright.customizations SET source = ?, updated_at = UTC_TIMESTAMP(6) WHERE ${scope}`, [
        JSON.stringify(source),
        ...key,
      ]);
    await connection.query(
      `UPDATE modelwright_control.schema_changes SET decision = ?, decided_by = ?, decided_at = UTC_TIMESTAMP(6), decision_key = ?
       WHERE ${scope} AND change_id IN (?)`,
      [action, actor, requestKey, ...key, waiting.map(({ change_id }) => change_id)],
    );
    const [versions] = await connection.query<VersionRow[]>(
      'SELECT MAX(version) AS version FROM modelwright_control.schema_versions WHERE database_name = ? AND table_name = ?',
      [database, table],
    );
    await approveStructure(connection, input, { name, version: Number(versions[0]?.version ?? 0), columns: found });
    const changes = waiting.map(({ change_id }) => change_id);
    await audit(connection, tenantId, actor, `schema.${action}`, { customizationId, changes, table: name, reason });
    return decided(waiting, action);
  });

const decided = (changes: readonly ChangeRow[], action: SchemaAction): SchemaDecided => ({
  changeIds: changes.map(({ change_id }) => change_id),
  rebuild: (changes[0]?.decision ?? action) !== 'ignore',
  schemaVersion: Math.max(...changes.map(({ schema_version }) => schema_version)),
});

/** The mapping with the person's columns and table; another table must be granted, with the filter that the grant prescribes. */
async function remapped(connection: PoolConnection, input: Input, source: SourceMapping | null): Promise<SourceMapping> {
  const { tenantId, customizationId, columns, table } = input;
  if (!source) throw failure('BadOptions', `the examples of ${customizationId} are kept in our own table: there is no mapping to change`);
  const next: SourceMapping = {
    ...source,
    columns: { ...source.columns, ...columns },
    ...(table === null ? {} : tableOf(table, source.database)),
  };
  const [grants] = await connection.query<GrantRow[]>(
    `SELECT filter_column, filter_value FROM modelwright_control.source_grants
     WHERE tenant_id = ? AND database_name = ? AND table_name = ?`,
    [tenantId, next.database, next.table],
  );
  const grant = grants[0];
  if (!grant) throw failure('BadOptions', `the operator has not granted ${sourceName(next)} to tenant ${tenantId}`);
  if (grant.filter_column === null) return next;
  return { ...next, filter: { column: grant.filter_column, equals: grant.filter_value ?? '' } };
}

/** `table`, or `database.table`. */
function tableOf(name: string, database: string): Pick<SourceMapping, 'database' | 'table'> {
  const dot = name.indexOf('.');
  return dot < 0 ? { database, table: name } : { database: name.slice(0, dot), table: name.slice(dot + 1) };
}
