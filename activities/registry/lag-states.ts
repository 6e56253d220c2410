import type { CustomizationKey } from '../../core/ids.ts';
import type { Policy } from '../../core/policy.ts';
import { type SloCounts, type SloState, type SloWindow, burnRate, judgeSlo, sloWindowsMs } from '../../core/slo.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';

/** How far learning of one customization is behind its table. Ages in milliseconds; null: nothing waits. */
export type LagState = CustomizationKey & {
  readonly oldestUnlearnedMs: number | null;
  readonly oldestUnservedMs: number | null;
  readonly unlearnedCommits: number;
  readonly sloMs: number | null;
  readonly sloState: SloState;
  readonly burn: Readonly<Record<SloWindow, number>> | null;
  readonly detail: string;
};

type WaitingRow = RowDataPacket & {
  tenant_id: string;
  customization_id: string;
  policy: Partial<Policy>;
  unlearned_at: Date | null;
  unserved_at: Date | null;
  unlearned: string | null;
};

/** Commits that are written off in one statement. */
const writtenOffRows = 10_000;

/** Commits of customizations that are gone wait for nothing: left among those that wait, they would be read in every measurement. */
const writeOffDeleted = (pool: Pool): Promise<unknown> =>
  pool.query(
    `UPDATE modelwright_control.sensed_commits s SET serving_at = sensed_at
     WHERE serving_at IS NULL AND NOT EXISTS (
       SELECT 1 FROM modelwright.customizations c WHERE c.tenant_id = s.tenant_id AND c.customization_id = s.customization_id)
     LIMIT ${writtenOffRows}`,
  );

/** Reads what waits, judges the objectives, and writes one row a customization for the API. Key: customization. */
export async function measureLag(pool: Pool, nowMs: number): Promise<LagState[]> {
  await writeOffDeleted(pool);
  const [rows] = await pool.query<WaitingRow[]>(
    `SELECT c.tenant_id, c.customization_id, c.policy, w.unlearned_at, w.unserved_at, w.unlearned
     FROM modelwright.customizations c
     LEFT JOIN (
       SELECT tenant_id, customization_id, MIN(IF(dataset_at IS NULL, committed_at, NULL)) AS unlearned_at,
         MIN(committed_at) AS unserved_at, SUM(dataset_at IS NULL) AS unlearned
       FROM modelwright_control.sensed_commits WHERE serving_at IS NULL AND inserted + updated + deleted > 0
       GROUP BY tenant_id, customization_id
     ) w USING (tenant_id, customization_id)
     ORDER BY c.tenant_id, c.customization_id`,
  );
  const states: LagState[] = [];
  for (const row of rows) {
    const key = { tenantId: row.tenant_id, customizationId: row.customization_id };
    const age = (at: Date | null): number | null => (at === null ? null : Math.max(0, nowMs - at.getTime()));
    const sloMs = row.policy.servingSloMs ?? null;
    const counts =
      sloMs === null ? null : { short: await dueIn(pool, key, sloMs, 'short', nowMs), long: await dueIn(pool, key, sloMs, 'long', nowMs) };
    const oldestUnservedMs = age(row.unserved_at);
    const judged = judgeSlo({ sloMs, oldestUnservedMs, counts: counts ?? { short: { due: 0, late: 0 }, long: { due: 0, late: 0 } } });
    states.push({
      ...key,
      oldestUnlearnedMs: age(row.unlearned_at),
      oldestUnservedMs,
      unlearnedCommits: Number(row.unlearned ?? 0),
      sloMs,
      sloState: judged.state,
      burn: counts && { short: burnRate(counts.short), long: burnRate(counts.long) },
      detail: judged.detail,
    });
  }
  await writeStates(pool, states, nowMs);
  return states;
}

/** Commits of a window whose time to be served was up in it. */
async function dueIn(pool: Pool, key: CustomizationKey, sloMs: number, window: SloWindow, nowMs: number): Promise<SloCounts> {
  const from = new Date(nowMs - sloMs - sloWindowsMs[window]);
  const [rows] = await pool.query<(RowDataPacket & { due: string; late: string | null })[]>(
    `SELECT COUNT(*) AS due, SUM(serving_at IS NULL OR serving_at > committed_at + INTERVAL ? MICROSECOND) AS late
     FROM modelwright_control.sensed_commits
     WHERE tenant_id = ? AND customization_id = ? AND sensed_at > ? AND committed_at > ? AND committed_at <= ? AND inserted + updated + deleted > 0`,
    [sloMs * 1_000, key.tenantId, key.customizationId, from, from, new Date(nowMs - sloMs)],
  );
  return { due: Number(rows[0]?.due ?? 0), late: Number(rows[0]?.late ?? 0) };
}

async function writeStates(pool: Pool, states: readonly LagState[], nowMs: number): Promise<void> {
  const rowsPerInsert = 500;
  const at = (ageMs: number | null): Date | null => (ageMs === null ? null : new Date(nowMs - ageMs));
  for (let from = 0; from < states.length; from += rowsPerInsert) {
    const rows = states
      .slice(from, from + rowsPerInsert)
      .map((s) => [
        s.tenantId,
        s.customizationId,
        new Date(nowMs),
        at(s.oldestUnlearnedMs),
        at(s.oldestUnservedMs),
        s.unlearnedCommits,
        s.sloMs,
        s.sloState,
        s.burn?.short ?? null,
        s.burn?.long ?? null,
        s.detail,
      ]);
    await pool.query('REPLACE INTO modelwright_control.lag_states VALUES ?', [rows]);
  }
  await pool.query('DELETE FROM modelwright_control.lag_states WHERE measured_at < ?', [new Date(nowMs - 60_000)]);
}

/** Customizations whose commits may have been learned or served since then. */
export async function changedSince(pool: Pool, sinceMs: number): Promise<CustomizationKey[]> {
  const since = new Date(sinceMs);
  const [rows] = await pool.query<(RowDataPacket & { tenant_id: string; customization_id: string })[]>(
    `SELECT tenant_id, customization_id FROM modelwright_control.datasets WHERE built_at > ?
     UNION SELECT tenant_id, customization_id FROM modelwright_control.promotions WHERE promoted_at > ?
     UNION SELECT tenant_id, customization_id FROM modelwright_control.decisions WHERE decided_at > ? AND kind = 'no_net_change'`,
    [since, since, since],
  );
  return rows.map((row) => ({ tenantId: row.tenant_id, customizationId: row.customization_id }));
}
