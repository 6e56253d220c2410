import type { RunKey } from '../../core/ids.ts';
import { type RunState, endedRunStates } from '../../core/run.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { inTransaction, withDatabase } from '../registry/database.ts';

type ClaimRow = RowDataPacket & { run_number: number; completed_at: Date | null; state: RunState | null };

export type ClaimDigests = { readonly dataset: string; readonly options: string; readonly trainer: string };

const scope = 'tenant_id = ? AND customization_id = ?';
const identity = `${scope} AND dataset_digest = ? AND options_digest = ? AND trainer_digest = ? AND nonce = ?`;

/** A forced training is allowed to repeat another: its own run makes it different. */
const nonceOf = (key: RunKey, force: boolean): string => (force ? `run/${key.run}` : '');

/** The run that has this training, or null after this run has claimed it. Key: run. A claim of a run that ended without a model is taken over. */
export const claim = (pool: Pool, key: RunKey, digests: ClaimDigests, force: boolean): Promise<number | null> =>
  inTransaction(pool, async (connection) => {
    const id = [key.tenantId, key.customizationId, digests.dataset, digests.options, digests.trainer, nonceOf(key, force)];
    await connection.query(
      `INSERT IGNORE INTO modelwright_control.effective_trainings
         (tenant_id, customization_id, dataset_digest, options_digest, trainer_digest, nonce, run_number) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      [...id, key.run],
    );
    const [rows] = await connection.query<ClaimRow[]>(
      `SELECT e.run_number, e.completed_at, r.state FROM modelwright_control.effective_trainings e
       LEFT JOIN modelwright_control.runs r
         ON r.tenant_id = e.tenant_id AND r.customization_id = e.customization_id AND r.number = e.run_number
       WHERE e.tenant_id = ? AND e.customization_id = ? AND e.dataset_digest = ? AND e.options_digest = ? AND e.trainer_digest = ? AND e.nonce = ?
       FOR UPDATE OF e`,
      id,
    );
    const held = rows[0];
    if (!held || held.run_number === key.run) return null;
    const abandoned = held.completed_at === null && (held.state === null || endedRunStates.includes(held.state));
    if (!abandoned) return held.run_number;
    await connection.query(`UPDATE modelwright_control.effective_trainings SET run_number = ? WHERE ${identity}`, [key.run, ...id]);
    return null;
  });

/** The run's training has ended well: it will not be repeated. */
export const completeClaim = (pool: Pool, key: RunKey): Promise<void> =>
  withDatabase(async () => {
    await pool.query(
      `UPDATE modelwright_control.effective_trainings SET completed_at = COALESCE(completed_at, UTC_TIMESTAMP(6)) WHERE ${scope} AND run_number = ?`,
      [key.tenantId, key.customizationId, key.run],
    );
  });

/** The run leaves no model: another may train the same. */
export const releaseClaim = (pool: Pool, key: RunKey): Promise<void> =>
  withDatabase(async () => {
    await pool.query(`DELETE FROM modelwright_control.effective_trainings WHERE ${scope} AND run_number = ?`, [
      key.tenantId,
      key.customizationId,
      key.run,
    ]);
  });
