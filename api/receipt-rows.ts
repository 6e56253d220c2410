import type { DirtyBuckets } from '../core/dirty-buckets.ts';
import type { CustomizationKey } from '../core/ids.ts';
import { parseGtid } from '../core/gtid.ts';
import type { Json } from '../core/json.ts';
import type { GateVerdict, StoredMetrics } from '../core/model.ts';
import type { RunState, StageTimes } from '../core/run.ts';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';

export type CommitRow = RowDataPacket & { gtid: string; tenant_id: string; customization_id: string; committed_at: Date };
export type SensedRow = CommitRow & {
  sensed_at: Date;
  inserted: string;
  updated: string;
  deleted: string;
  configured: number;
  buckets: DirtyBuckets | null;
};
type DatasetRow = RowDataPacket & {
  number: number;
  run_number: number;
  digest: string;
  cut: string;
  built_at: Date;
  row_count: string;
  read_buckets: DirtyBuckets | null;
};
type DecisionRow = RowDataPacket & { kind: string; reason: string; cut: string; decided_at: Date };
export type RunRow = RowDataPacket & {
  number: number;
  state: RunState;
  trigger_kind: string;
  reason: string | null;
  failure_class: string | null;
  stages: StageTimes[];
  metrics: StoredMetrics | null;
  verdict: GateVerdict | null;
  progress: { step: number; steps: number } | null;
  training_ms: string | null;
  created_at: Date;
};
type VersionRow = RowDataPacket & {
  version: number;
  run_number: number;
  dataset_number: number;
  published_at: Date;
  stored_bytes: string;
  promoted_at: Date | null;
};
type CustomizationRow = RowDataPacket & {
  options: { readonly [name: string]: Json };
  source: { readonly database?: string; readonly table?: string } | null;
};

/** Everything that the tables say about one customization. The lists are in ascending order. */
export type CustomizationRows = {
  readonly customization: CustomizationRow | null;
  readonly datasets: readonly DatasetRow[];
  readonly decisions: readonly DecisionRow[];
  readonly runs: readonly RunRow[];
  readonly versions: readonly VersionRow[];
  readonly production: number | null;
  readonly trainedOptions: string | null;
  readonly schemaHeld: string | null;
};

/** The latest of everything is what a receipt asks about; a commit that is older than this many datasets is in all of them. */
export const lookedAt = 200;

const epochOf = ({ gtid }: CommitRow): number => parseGtid(gtid)?.epoch ?? 0;

/**
 * What was noted of a commit: by the API that made it, and by the change consumer that saw it. `tenantId` null: of every tenant.
 * After a reset of the log a GTID may name two commits: the newest is meant.
 */
export async function commitRows(
  pool: Pool,
  gtid: string,
  tenantId: string | null,
): Promise<{ readonly own: readonly CommitRow[]; readonly sensed: readonly SensedRow[] }> {
  const where = `(gtid = ? OR gtid LIKE ?)${tenantId === null ? '' : ' AND tenant_id = ?'}`;
  const values = [gtid, `${gtid}@%`, ...(tenantId === null ? [] : [tenantId])];
  const [[own], [sensed]] = await Promise.all([
    pool.query<CommitRow[]>(
      `SELECT gtid, tenant_id, customization_id, committed_at FROM modelwright_control.commits WHERE ${where}`,
      values,
    ),
    pool.query<SensedRow[]>(
      `SELECT gtid, tenant_id, customization_id, committed_at, sensed_at, inserted, updated, deleted, configured, buckets
       FROM modelwright_control.sensed_commits WHERE ${where}`,
      values,
    ),
  ]);
  const newest = Math.max(0, ...[...own, ...sensed].map((row) => epochOf(row)));
  return { own: own.filter((row) => epochOf(row) === newest), sensed: sensed.filter((row) => epochOf(row) === newest) };
}

export async function customizationRows(pool: Pool, { tenantId, customizationId }: CustomizationKey): Promise<CustomizationRows> {
  const key = [tenantId, customizationId];
  const where = 'tenant_id = ? AND customization_id = ?';
  const latest = (columns: string, table: string, order: string): string =>
    `SELECT ${columns} FROM modelwright_control.${table} WHERE ${where} ORDER BY ${order} DESC LIMIT ${lookedAt}`;
  const [[customizations], [datasets], [decisions], [runs], [versions], [production], [trained], [held]] = await Promise.all([
    pool.query<CustomizationRow[]>(`SELECT options, source FROM modelwright.customizations WHERE ${where}`, key),
    pool.query<DatasetRow[]>(latest('number, run_number, digest, cut, built_at, row_count, read_buckets', 'datasets', 'number'), key),
    pool.query<DecisionRow[]>(latest('kind, reason, cut, decided_at', 'decisions', 'decided_at'), key),
    pool.query<RunRow[]>(
      latest(
        'number, state, trigger_kind, reason, failure_class, stages, metrics, verdict, progress, training_ms, created_at',
        'runs',
        'number',
      ),
      key,
    ),
    pool.query<VersionRow[]>(
      `SELECT v.version, v.run_number, v.dataset_number, v.published_at, v.stored_bytes,
         (SELECT MIN(p.promoted_at) FROM modelwright_control.promotions p
          WHERE p.tenant_id = v.tenant_id AND p.customization_id = v.customization_id AND p.version = v.version) AS promoted_at
       FROM modelwright_control.model_versions v WHERE v.tenant_id = ? AND v.customization_id = ? ORDER BY v.version`,
      key,
    ),
    pool.query<(RowDataPacket & { version: number })[]>(
      `SELECT version FROM modelwright_control.aliases WHERE ${where} AND alias = 'production'`,
      key,
    ),
    pool.query<(RowDataPacket & { options_digest: string })[]>(
      `SELECT options_digest FROM modelwright_control.effective_trainings WHERE ${where} AND completed_at IS NOT NULL ORDER BY run_number DESC LIMIT 1`,
      key,
    ),
    pool.query<(RowDataPacket & { reason: string })[]>(
      `SELECT reason FROM modelwright_control.schema_changes WHERE ${where} AND effect = 'held' AND decision IS NULL ORDER BY happened_at DESC LIMIT 1`,
      key,
    ),
  ]);
  return {
    customization: customizations[0] ?? null,
    datasets: datasets.toReversed(),
    decisions: decisions.toReversed(),
    runs: runs.toReversed(),
    versions,
    production: production[0]?.version ?? null,
    trainedOptions: trained[0]?.options_digest ?? null,
    schemaHeld: held[0]?.reason ?? null,
  };
}

/** Whether the server has executed the transaction, and what is known to be wrong with the way from the log to the consumer. */
export async function sensingRows(
  pool: Pool,
  gtid: string,
): Promise<{ readonly executed: boolean; readonly conditions: readonly { readonly code: string; readonly detail: string }[] }> {
  const [[executed], [conditions]] = await Promise.all([
    pool.query<(RowDataPacket & { executed: number | string })[]>('SELECT GTID_SUBSET(?, @@global.gtid_executed) AS executed', [gtid]),
    pool.query<(RowDataPacket & { code: string; detail: string })[]>(
      "SELECT code, detail FROM modelwright_control.sensing_conditions WHERE state IN ('open', 'healing') ORDER BY condition_id DESC LIMIT 10",
    ),
  ]);
  return { executed: Number(executed[0]?.executed ?? 0) === 1, conditions };
}
