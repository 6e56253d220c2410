import { type GpuUse, type TenantQuotas, gpuWindowMs, quotaNames } from '../../core/quotas.ts';
import type { RunKey } from '../../core/ids.ts';
import { type JobSituation, endedRunStates } from '../../core/run.ts';
import { nowMs } from '../../platform/clock.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { withDatabase } from './database.ts';

type QuotasRow = RowDataPacket & { quotas: Readonly<Record<string, number>> };
type UseRow = RowDataPacket & { customization_id: string; number: number; ended_at: Date | null; gpu_seconds: number };
type ShownRow = RowDataPacket & { job: Pick<JobSituation, 'gpus' | 'gpuSeconds'> | null };
type LeftRow = RowDataPacket & { quotas: Readonly<Record<string, number>>; used: number | null };

/** What earlier versions took beside the names that mean something is left out. */
const quotasOf = (stored: Readonly<Record<string, number>> = {}): TenantQuotas =>
  Object.fromEntries(quotaNames.flatMap((name) => (typeof stored[name] === 'number' ? [[name, stored[name]]] : [])));

/** A tenant without a row has no quotas. */
export const loadQuotas = (pool: Pool, tenantId: string): Promise<TenantQuotas> =>
  withDatabase(async () => {
    const [rows] = await pool.query<QuotasRow[]>('SELECT quotas FROM modelwright_control.tenants WHERE tenant_id = ?', [tenantId]);
    return quotasOf(rows[0]?.quotas);
  });

/** What runs of the tenant have used that ended in the last 24 hours, deleted customizations included. */
export const loadGpuUse = (pool: Pool, tenantId: string): Promise<readonly GpuUse[]> =>
  withDatabase(async () => {
    const [rows] = await pool.query<UseRow[]>(
      `SELECT customization_id, number, ended_at, gpu_seconds FROM modelwright_control.runs
       WHERE tenant_id = ? AND gpu_seconds > 0 AND state IN (?) AND ended_at > ? ORDER BY ended_at`,
      [tenantId, endedRunStates, new Date(nowMs() - gpuWindowMs)],
    );
    return rows.map(({ customization_id, number, ended_at, gpu_seconds }) => ({
      customizationId: customization_id,
      run: number,
      atMs: ended_at?.getTime() ?? nowMs(),
      gpuSeconds: gpu_seconds,
    }));
  });

/** What the progress of an attempt told last; empty where it held no GPU, and once it is counted. Read-only. */
export const gpuSecondsShown = (pool: Pool, key: RunKey & { readonly attempt: number }): Promise<{ readonly gpuSeconds?: number }> =>
  withDatabase(async () => {
    const [rows] = await pool.query<ShownRow[]>(
      `SELECT progress->'$.job' AS job FROM modelwright_control.runs
       WHERE tenant_id = ? AND customization_id = ? AND number = ? AND attempt = ?`,
      [key.tenantId, key.customizationId, key.run, key.attempt],
    );
    const job = rows[0]?.job;
    return job && job.gpus > 0 ? { gpuSeconds: job.gpuSeconds } : {};
  });

/**
 * What the tenant may still use now, all its runs together, those that train included as their progress tells; null: nobody limits it.
 * Zero or less: whoever trains must stop (failure BudgetSpent). Read-only.
 */
export const gpuSecondsLeft = (pool: Pool, tenantId: string): Promise<number | null> =>
  withDatabase(async () => {
    const [rows] = await pool.query<LeftRow[]>(
      `SELECT t.quotas, (
         SELECT SUM(COALESCE(r.gpu_seconds, 0) + IF(r.ended_at IS NULL, COALESCE(r.progress->>'$.job.gpuSeconds', 0), 0))
         FROM modelwright_control.runs r
         WHERE r.tenant_id = t.tenant_id AND (r.ended_at IS NULL OR r.ended_at > ?)
       ) AS used
       FROM modelwright_control.tenants t WHERE t.tenant_id = ?`,
      [new Date(nowMs() - gpuWindowMs), tenantId],
    );
    const limit = quotasOf(rows[0]?.quotas).gpuSecondsPerDay;
    return limit === undefined ? null : limit - (rows[0]?.used ?? 0);
  });
