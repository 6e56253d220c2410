import type { Catalog } from '../../catalog/catalog.ts';
import { managedColumns, managedTable } from '../../core/managed-table.ts';
import type { SchemaAction, SchemaChangeKind, SchemaDecided } from '../../core/schema-change.ts';
import { type SourceMapping, mappedColumns, sourceName } from '../../core/source-mapping.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { findGrant } from '../../sources/grants.ts';
import { mappingProblems } from '../../sources/mapping-problems.ts';
import { readColumns } from '../../sources/table-columns.ts';
import { readStructure } from '../../sources/table-structure.ts';
import { failure } from '../failure.ts';
import type { ControlActivities } from '../ports.ts';
import { approveStructure } from './approved-structure.ts';
import { audit } from './audit.ts';
import { inTransaction } from './database.ts';

type Input = Parameters<ControlActivities['decideSchema']>[0];
type SourceRow = RowDataPacket & { source: SourceMapping | null; business_model: string };
type ChangeRow = RowDataPacket & { change_id: string; kind: SchemaChangeKind; schema_version: number; decision: SchemaAction | null };
type VersionRow = RowDataPacket & { version: string | null };

const changeColumns = 'change_id, kind, schema_version, decision';
const scope = 'tenant_id = ? AND customization_id = ?';

/** A person's answer to what is held. Key: requestKey. What cannot be read afterwards is refused with the remedy. */
export const decideSchema = (pool: Pool, catalog: Catalog, input: Input): Promise<SchemaDecided> =>
  inTransaction(pool, async (connection) => {
    const { tenantId, customizationId, requestKey, changeId, action, actor, reason } = input;
    const key = [tenantId, customizationId];
    const [rows] = await connection.query<SourceRow[]>(
      `SELECT source, business_model FROM modelwright.customizations WHERE ${scope} FOR UPDATE`,
      key,
    );
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

    const source = action === 'remap' ? await remapped(connection, catalog, input, rows[0]) : rows[0].source;
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

/** The mapping with the person's columns and table: granted, with the filter that the grant prescribes, and readable as it is now. */
async function remapped(
  connection: PoolConnection,
  catalog: Catalog,
  { tenantId, customizationId, columns, table }: Input,
  { source, business_model }: SourceRow,
): Promise<SourceMapping> {
  if (!source) throw failure('BadOptions', `the examples of ${customizationId} are kept in our own table: there is no mapping to change`);
  const where = table === null ? source : tableOf(table, source.database);
  const grant = await findGrant(connection, tenantId, where, 'FOR SHARE');
  if (!grant) throw failure('BadOptions', `the operator has not granted ${sourceName(where)} to tenant ${tenantId}`);
  const { database, table: name } = grant;
  const next: SourceMapping = { database, table: name, columns: { ...source.columns, ...columns }, filter: grant.filter ?? source.filter };
  const structure = await readStructure(connection, database, name);
  const model = catalog.get(business_model);
  const problems = structure && model ? mappingProblems(next, structure, model) : [];
  if (problems.length > 0) throw failure('BadOptions', problems.map(({ pointer, message }) => `${pointer} ${message}`).join('; '));
  return next;
}

/** `table`, or `database.table`. */
function tableOf(name: string, database: string): Pick<SourceMapping, 'database' | 'table'> {
  const dot = name.indexOf('.');
  return dot < 0 ? { database, table: name } : { database: name.slice(0, dot), table: name.slice(dot + 1) };
}
