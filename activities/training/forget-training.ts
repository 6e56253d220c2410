import type { CustomizationKey } from '../../core/ids.ts';
import { endedRunStates } from '../../core/run.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { withDatabase } from '../registry/database.ts';
import type { TrainingExecutor } from './executor.ts';

/**
 * Removes kept embeddings of a customization, and what jobs of its ended runs left. A run that goes on may write its embeddings again: whoever forgets
 * asks again after it. Key: customization; a repeated call finds nothing.
 */
export async function forgetTraining(
  pool: Pool,
  executor: Pick<TrainingExecutor, 'removeCache' | 'jobs' | 'stop' | 'discard'>,
  key: CustomizationKey,
): Promise<void> {
  await executor.removeCache(key);
  const left = (await executor.jobs()).filter(
    ({ tenantId, customizationId }) => tenantId === key.tenantId && customizationId === key.customizationId,
  );
  for (const job of left) {
    const [rows] = await withDatabase(() =>
      pool.query<RowDataPacket[]>(
        'SELECT 1 FROM modelwright_control.runs WHERE tenant_id = ? AND customization_id = ? AND number = ? AND state NOT IN (?)',
        [job.tenantId, job.customizationId, job.run, endedRunStates],
      ),
    );
    if (rows.length > 0) continue;
    await executor.stop(job);
    await executor.discard(job);
  }
}
