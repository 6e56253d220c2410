import { type RunState, endedRunStates } from '../../core/run.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { failure } from '../failure.ts';
import type { ShardingActivities } from '../ports.ts';
import { inWatchedTransaction } from '../registry/database.ts';
import { refuseCutOver } from '../registry/held-changes.ts';
import { baseScope, modelsScope, releaseLease } from '../store-care/leases.ts';

type RunRow = RowDataPacket & { attempt: number; state: RunState };
type VersionRow = RowDataPacket & { version: number; run_number: number };

/**
 * Registers the version: from this row on it exists. Key: run. An attempt that was replaced may not, and no attempt of a run that is over: a
 * publisher that was stopped may come back at any time.
 */
export const publishModel = (pool: Pool, input: Parameters<ShardingActivities['publishModel']>[0]): Promise<{ version: number }> =>
  inWatchedTransaction(pool, async (connection) => {
    const { tenantId, customizationId, run, attempt, dataset, sharded, metrics, verdict } = input;
    const key = [tenantId, customizationId];
    const [runs] = await connection.query<RunRow[]>(
      'SELECT attempt, state FROM modelwright_control.runs WHERE tenant_id = ? AND customization_id = ? AND number = ? FOR UPDATE',
      [...key, run],
    );
    const found = runs[0];
    if (!found) throw failure('CustomizationGone', `run ${run} of ${customizationId} has no row: the customization was deleted`);
    if (found.attempt > attempt)
      throw failure('Fenced', `attempt ${attempt} of run ${run} was replaced by attempt ${found.attempt}: it must not publish`);
    const [versions] = await connection.query<VersionRow[]>(
      `SELECT version, run_number FROM modelwright_control.model_versions
       WHERE tenant_id = ? AND customization_id = ? AND (run_number = ? OR version = ?) FOR UPDATE`,
      [...key, run, sharded.version],
    );
    const own = versions.find(({ run_number }) => run_number === run);
    if (own) return { version: own.version };
    if (endedRunStates.includes(found.state))
      throw failure('Fenced', `run ${run} is over (${found.state}) and published nothing: it must not publish any more`);
    if (versions.length > 0)
      throw failure('Fenced', `run ${versions[0]?.run_number} has published v${sharded.version}: run ${run} must not`);
    await refuseCutOver(connection, input, dataset.cut);
    // Locked: whoever withdraws the dataset sees this version, or this one sees that it is withdrawn.
    const [learned] = await connection.query<(RowDataPacket & { removed_at: Date | null })[]>(
      'SELECT removed_at FROM modelwright_control.datasets WHERE tenant_id = ? AND customization_id = ? AND number = ? FOR SHARE',
      [...key, dataset.number],
    );
    if (learned[0]?.removed_at)
      throw failure(
        'Fenced',
        `dataset ${dataset.number} was withdrawn, for rows of it are forgotten: run ${run} must not publish what it has learned`,
      );
    await connection.query('INSERT INTO modelwright_control.model_versions SET ?', {
      tenant_id: tenantId,
      customization_id: customizationId,
      version: sharded.version,
      run_number: run,
      attempt,
      dataset_number: dataset.number,
      parent: sharded.parent,
      manifest_key: sharded.manifest.key,
      manifest_sha256: sharded.manifest.sha256,
      manifest_bytes: sharded.manifest.bytes,
      bytes: sharded.bytes,
      stored_bytes: sharded.storedBytes,
      metrics: JSON.stringify(metrics),
      verdict: JSON.stringify(verdict),
    });
    await connection.query(
      `INSERT INTO modelwright_control.aliases (tenant_id, customization_id, alias, version) VALUES (?, ?, 'candidate', ?) AS new
       ON DUPLICATE KEY UPDATE version = new.version, updated_at = UTC_TIMESTAMP(6)`,
      [...key, sharded.version],
    );
    // From here on the registry says that its objects are needed.
    await releaseLease(connection, input, [modelsScope(tenantId), baseScope]);
    return { version: sharded.version };
  });
