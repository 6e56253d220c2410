import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { TrainingExecutor } from './executor.ts';

/** Deleted rows are to be gone from here too, as embeddings, soon after their customization. */
export const sweepEveryMs = 10 * 60_000;

/**
 * Removes what trainings kept for customizations that are deleted; returns their keys. A sweep and no step of the deletion: it also finds what a
 * job wrote that ended later, and what a worker that was away would have missed. Key: none; a repeated call finds nothing.
 */
export async function removeOrphanedCaches(
  pool: Pool,
  executor: Pick<TrainingExecutor, 'caches' | 'removeCache'>,
): Promise<readonly CustomizationKey[]> {
  const gone: CustomizationKey[] = [];
  for (const key of await executor.caches()) {
    const [rows] = await pool.query<RowDataPacket[]>(
      'SELECT 1 FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ?',
      [key.tenantId, key.customizationId],
    );
    if (rows.length > 0) continue;
    await executor.removeCache(key);
    gone.push(key);
  }
  return gone;
}
