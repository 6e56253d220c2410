import type { CustomizationSnapshot, CustomizationState } from '../../core/customization.ts';
import type { Json } from '../../core/json.ts';
import { type Policy, defaultPolicy } from '../../core/policy.ts';
import type { RunPause, RunState } from '../../core/run.ts';
import type { SchemaChangeKind } from '../../core/schema-change.ts';
import { nowMs } from '../../platform/clock.ts';
import { optionsDigest } from '../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { withDatabase } from './database.ts';
import { loadQuotas } from './gpu-use.ts';

/** As long as maxRunsPerDay and the budget look back. */
const recentMs = 86_400_000;

type CustomizationRow = RowDataPacket & {
  customization_id: string;
  name: string;
  business_model: string;
  options: { readonly [name: string]: Json };
  policy: Partial<Policy>;
  state: CustomizationState;
};
type DatasetRow = RowDataPacket & { customization_id: string; number: number; digest: string; row_count: string; cut: string };
type RunRow = RowDataPacket & {
  customization_id: string;
  number: number;
  state: RunState;
  training_ms: string | null;
  created_at: Date;
  paused: RunPause | null;
};
type TrainedRow = RowDataPacket & { customization_id: string; options_digest: string };
type HeldRow = RowDataPacket & {
  customization_id: string;
  change_id: string;
  kind: SchemaChangeKind;
  table_name: string;
  reason: string;
  schema_version: number;
  happened_at: Date;
};
type AliasRow = RowDataPacket & { customization_id: string; version: number };

/** Customizations as the tenant workflow needs them: one of the tenant, or all where `customizationId` is null. */
export const loadCustomizations = (pool: Pool, tenantId: string, customizationId: string | null): Promise<CustomizationSnapshot[]> =>
  withDatabase(async () => {
    const scope = customizationId === null ? 'tenant_id = ?' : 'tenant_id = ? AND customization_id = ?';
    const key = customizationId === null ? [tenantId] : [tenantId, customizationId];
    const [customizations] = await pool.query<CustomizationRow[]>(
      `SELECT customization_id, name, business_model, options, policy, state FROM modelwright.customizations WHERE ${scope} ORDER BY customization_id`,
      key,
    );
    if (customizations.length === 0) return [];
    const latest = (table: string, columns: string, order: string, where = ''): string => `
      SELECT ${columns} FROM (
        SELECT t.*, ROW_NUMBER() OVER (PARTITION BY customization_id ORDER BY ${order} DESC) AS newest
        FROM modelwright_control.${table} t WHERE ${scope} ${where}
      ) ranked WHERE newest = 1`;
    const [[datasets], [lastRuns], [recent], [trained], [production], [held], tenantQuotas] = await Promise.all([
      pool.query<DatasetRow[]>(latest('datasets', 'customization_id, number, digest, row_count, cut', 'number'), key),
      pool.query<RunRow[]>(latest('runs', 'customization_id, number, state, training_ms, created_at, paused', 'number'), key),
      pool.query<RunRow[]>(
        `SELECT customization_id, number, state, training_ms, created_at FROM modelwright_control.runs
         WHERE ${scope} AND created_at > ? AND state <> 'skipped' ORDER BY number`,
        [...key, new Date(nowMs() - recentMs)],
      ),
      pool.query<TrainedRow[]>(
        latest('effective_trainings', 'customization_id, options_digest', 'run_number', 'AND completed_at IS NOT NULL'),
        key,
      ),
      pool.query<AliasRow[]>(
        `SELECT customization_id, version FROM modelwright_control.aliases WHERE ${scope} AND alias = 'production'`,
        key,
      ),
      pool.query<HeldRow[]>(
        `SELECT customization_id, change_id, kind, table_name, reason, schema_version, happened_at FROM modelwright_control.schema_changes
         WHERE ${scope} AND effect = 'held' AND decision IS NULL ORDER BY happened_at DESC`,
        key,
      ),
      loadQuotas(pool, tenantId),
    ]);
    return customizations.map((row) => {
      const id = row.customization_id;
      const of = <T extends { customization_id: string }>(rows: readonly T[]): T | undefined =>
        rows.find(({ customization_id }) => customization_id === id);
      const dataset = of(datasets);
      const run = of(lastRuns);
      const change = of(held);
      return {
        customizationId: id,
        name: row.name,
        businessModel: row.business_model,
        state: row.state,
        policy: { ...defaultPolicy, ...row.policy },
        optionsDigest: optionsDigest(row.options),
        options: row.options,
        lastDataset: dataset ? { number: dataset.number, digest: dataset.digest, rows: Number(dataset.row_count), cut: dataset.cut } : null,
        lastRun: run ? { number: run.number, state: run.state, paused: run.paused } : null,
        tenantQuotas,
        trainedOptionsDigest: of(trained)?.options_digest ?? null,
        production: of(production)?.version ?? null,
        heldSchema: change
          ? {
              changeId: change.change_id,
              kind: change.kind,
              table: change.table_name,
              reason: change.reason,
              schemaVersion: change.schema_version,
              atMs: change.happened_at.getTime(),
            }
          : null,
        recentRuns: recent
          .filter(({ customization_id }) => customization_id === id)
          .map(({ created_at, training_ms }) => ({ startedAtMs: created_at.getTime(), trainingMs: Number(training_ms ?? 0) })),
      };
    });
  });
