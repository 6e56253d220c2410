import type { RunState } from '../core/run.ts';
import type { SloState } from '../core/slo.ts';
import { nowMs } from '../platform/clock.ts';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';

type LagRow = RowDataPacket & {
  tenant_id: string;
  customization_id: string;
  measured_at: Date;
  oldest_unlearned_at: Date | null;
  oldest_unserved_at: Date | null;
  unlearned_commits: string;
  slo_ms: string | null;
  slo_state: SloState;
  burn_short: number | null;
  burn_long: number | null;
  detail: string;
  run: number | null;
  run_state: RunState | null;
  run_reason: string | null;
};

/** How far learning of a customization is behind its table. Ages are at the time of the answer. */
export type Lag = {
  readonly tenantId: string;
  readonly customizationId: string;
  /** Age of the oldest commit that no dataset holds. */
  readonly ms: number;
  readonly at: string;
  readonly measuredAt: string;
  readonly oldestUnlearnedAt: string | null;
  readonly oldestUnservedAt: string | null;
  readonly unlearnedCommits: number;
  readonly lastRun: { readonly number: number; readonly state: RunState; readonly reason: string | null } | null;
  readonly slo: {
    readonly ms: number | null;
    readonly state: SloState;
    readonly burnRate: { readonly short: number; readonly long: number } | null;
    readonly detail: string;
  };
};

function shown(row: LagRow): Lag {
  const now = nowMs();
  return {
    tenantId: row.tenant_id,
    customizationId: row.customization_id,
    ms: row.oldest_unlearned_at === null ? 0 : Math.max(0, now - row.oldest_unlearned_at.getTime()),
    at: new Date(now).toISOString(),
    measuredAt: row.measured_at.toISOString(),
    oldestUnlearnedAt: row.oldest_unlearned_at?.toISOString() ?? null,
    oldestUnservedAt: row.oldest_unserved_at?.toISOString() ?? null,
    unlearnedCommits: Number(row.unlearned_commits),
    lastRun: row.run === null || row.run_state === null ? null : { number: row.run, state: row.run_state, reason: row.run_reason },
    slo: {
      ms: row.slo_ms === null ? null : Number(row.slo_ms),
      state: row.slo_state,
      burnRate: row.burn_short === null || row.burn_long === null ? null : { short: row.burn_short, long: row.burn_long },
      detail: row.detail,
    },
  };
}

/** States with the newest run of each, whose number is `MAX`: found by the primary key. */
const statesWithRun = `SELECT s.*, r.number AS run, r.state AS run_state, r.reason AS run_reason FROM modelwright_control.lag_states s
  LEFT JOIN modelwright_control.runs r ON r.tenant_id = s.tenant_id AND r.customization_id = s.customization_id AND r.number =
    (SELECT MAX(number) FROM modelwright_control.runs WHERE tenant_id = s.tenant_id AND customization_id = s.customization_id)`;

/** Of one tenant, or of all (null), after the given customization. */
export async function lagRows(
  pool: Pool,
  tenantId: string | null,
  after: readonly [tenantId: string, customizationId: string],
  limit: number,
): Promise<Lag[]> {
  const [rows] = await pool.query<LagRow[]>(
    `${statesWithRun} WHERE (s.tenant_id, s.customization_id) > (?, ?) ${tenantId === null ? '' : 'AND s.tenant_id = ?'}
     ORDER BY s.tenant_id, s.customization_id LIMIT ?`,
    [...after, ...(tenantId === null ? [] : [tenantId]), limit],
  );
  return rows.map(shown);
}

/** Null before the first measurement. */
export async function lagOf(pool: Pool, tenantId: string, customizationId: string): Promise<Lag | null> {
  const [rows] = await pool.query<LagRow[]>(`${statesWithRun} WHERE s.tenant_id = ? AND s.customization_id = ?`, [
    tenantId,
    customizationId,
  ]);
  return rows[0] ? shown(rows[0]) : null;
}
