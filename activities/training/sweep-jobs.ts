import { endedRunStates } from '../../core/run.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { withDatabase } from '../registry/database.ts';
import type { TrainingExecutor } from './executor.ts';

/**
 * Removes jobs whose run has ended or is unknown: what a worker left that died in between, or a run that was terminated by hand. A run writes its end
 * after it has freed its jobs, so that of an ended run nothing may be left. Key: none; a repeated call finds nothing.
 */
export async function sweepJobs(
  pool: Pool,
  executor: Pick<TrainingExecutor, 'jobs' | 'stop' | 'discard'>,
  beat: () => void,
): Promise<{ readonly removed: number; readonly kept: number }> {
  const runs = new Map((await executor.jobs()).map((key) => [`${key.tenantId}/${key.customizationId}/${key.run}`, key]));
  let removed = 0;
  for (const key of runs.values()) {
    beat();
    const [rows] = await withDatabase(() =>
      pool.query<RowDataPacket[]>(
        'SELECT state FROM modelwright_control.runs WHERE tenant_id = ? AND customization_id = ? AND number = ?',
        [key.tenantId, key.customizationId, key.run],
      ),
    );
    const state = rows[0]?.['state'] as (typeof endedRunStates)[number] | undefined;
    if (state !== undefined && !endedRunStates.includes(state)) continue;
    await executor.stop(key);
    await executor.discard(key);
    removed += 1;
  }
  return { removed, kept: runs.size - removed };
}
