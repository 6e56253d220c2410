import type { DatasetSchema } from '../../core/dataset.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { canonicalJsonOf } from '../../core/json.ts';
import { managedColumns, managedTable } from '../../core/managed-table.ts';
import { type SchemaChange, type SchemaPolicy, readChangePrefix } from '../../core/schema-change.ts';
import { type SourceMapping, mappedColumns, sourceName } from '../../core/source-mapping.ts';
import { type Judged, judge, sentence, structureChanges } from '../../core/structure-change.ts';
import type { TableColumns } from '../../core/table-structure.ts';
import { nowMs } from '../../platform/clock.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { quotedTable } from '../../sources/quoting.ts';
import { readColumns } from '../../sources/table-columns.ts';
import { failure } from '../failure.ts';
import { type ApprovedStructure, approvedStructure } from '../registry/approved-structure.ts';
import { refusal, refuseHeld } from '../registry/held-changes.ts';

type PolicyRow = RowDataPacket & { schema_policy: SchemaPolicy };
type VersionRow = RowDataPacket & { version: string | null };

/** What a dataset is read with: pinned in its manifest, and approved by being read. */
export type PinnedStructure = { readonly schema: DatasetSchema; readonly approved: ApprovedStructure };

/**
 * Compares the structure under the connection's snapshot with the approved one. From here to the end of the transaction a metadata lock
 * keeps it as it is, so that no order of messages can make a dataset over a structure that nobody approved. Fails with SchemaHeld.
 */
export async function pinStructure(
  pool: Pool,
  connection: PoolConnection,
  key: CustomizationKey,
  source: SourceMapping | null,
): Promise<PinnedStructure> {
  const where = source ?? managedTable;
  const name = sourceName(where);
  const mapped = source ? mappedColumns(source) : managedColumns;
  const current = (await lockStructure(connection, where)) ? await readColumns(connection, where.database, where.table) : null;
  // By the pool: rows that were written after the snapshot count too.
  await refuseHeld(pool, key);
  const approved = await approvedStructure(pool, key);
  const before = approved?.name === name ? approved : null;
  if (!current) throw await held(pool, key, name, null, dropped);
  const judged = judge(structureChanges(before?.columns ?? current, current, mapped), await policyOf(pool, key));
  if (judged?.effect === 'held') throw await held(pool, key, name, current, judged);
  const version = await versionOf(pool, where);
  const columns = current.filter((column) => mapped.some((other) => other.toLowerCase() === column.name.toLowerCase()));
  return {
    schema: { version, digest: digestOf(columns), columns },
    approved: { name, version, columns: current },
  };
}

const digestOf = (columns: TableColumns | null): string => sha256Hex(canonicalJsonOf(columns));
const dropped: Judged = { kind: 'table_dropped', effect: 'held', retrain: false, what: 'the table does not exist' };

/** The first read takes the metadata lock that DDL waits for. False: there is no such table. */
async function lockStructure(connection: PoolConnection, where: Pick<SourceMapping, 'database' | 'table'>): Promise<boolean> {
  try {
    await connection.query(`SELECT 1 FROM ${quotedTable(where)} LIMIT 1`);
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ER_NO_SUCH_TABLE' || code === 'ER_BAD_DB_ERROR') return false;
    if (code === 'ER_TABLE_DEF_CHANGED')
      throw failure('Unavailable', `${sourceName(where)} was changed while its snapshot was opened: read again`, error);
    throw error;
  }
}

/** Puts on record what a reader met before the log told of it. Key: the structure that was met. */
async function held(pool: Pool, key: CustomizationKey, name: string, columns: TableColumns | null, judged: Judged) {
  const change: SchemaChange = {
    customizationId: key.customizationId,
    changeId: `${readChangePrefix}${digestOf(columns).slice(0, 16)}/${name}`,
    table: name,
    kind: judged.kind,
    effect: 'held',
    reason: sentence(name, judged),
    schemaVersion: 0,
    gtid: '',
    atMs: nowMs(),
  };
  await pool.query(
    `INSERT INTO modelwright_control.schema_changes
       (tenant_id, customization_id, change_id, table_name, kind, effect, reason, schema_version, gtid, happened_at, told_at)
     VALUES (?, ?, ?, ?, ?, 'held', ?, 0, '', ?, ?) AS met
     ON DUPLICATE KEY UPDATE reason = met.reason, happened_at = met.happened_at, decision = NULL, decided_by = NULL, decided_at = NULL,
       decision_key = NULL`,
    [key.tenantId, key.customizationId, change.changeId, name, change.kind, change.reason, new Date(change.atMs), new Date(change.atMs)],
  );
  return refusal(change);
}

async function policyOf(pool: Pool, { tenantId, customizationId }: CustomizationKey): Promise<SchemaPolicy> {
  const [rows] = await pool.query<PolicyRow[]>(
    'SELECT schema_policy FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ?',
    [tenantId, customizationId],
  );
  if (!rows[0]) throw failure('CustomizationGone', `customization ${customizationId} was deleted`);
  return rows[0].schema_policy;
}

/** Version of the structure in the log; 0: the log has not told of the table yet. */
async function versionOf(pool: Pool, { database, table }: Pick<SourceMapping, 'database' | 'table'>): Promise<number> {
  const [rows] = await pool.query<VersionRow[]>(
    'SELECT MAX(version) AS version FROM modelwright_control.schema_versions WHERE database_name = ? AND table_name = ?',
    [database, table],
  );
  return Number(rows[0]?.version ?? 0);
}
