import type { CustomizationKey } from '../../core/ids.ts';
import { endedRunStates } from '../../core/run.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { audit } from '../registry/audit.ts';
import { inTransaction, withDatabase } from '../registry/database.ts';
import { type KeptDataset, type KeptVersion, retire } from './retention.ts';

export type Retention = {
  readonly keepVersions: number;
  readonly graceMs: number;
  /** For so long the store locks a version that is promoted; 0: not at all. */
  readonly lockMs: number;
};
export type Retired = { readonly versions: readonly number[]; readonly datasets: readonly number[] };

type Flag = string | number;
type VersionRow = RowDataPacket & {
  version: number;
  run_number: number;
  dataset_number: number;
  old: Flag;
  alias: Flag;
  held: Flag;
  locked: Flag | null;
  withdrawn: Flag;
};
type DatasetRow = RowDataPacket & { number: number; old: Flag; in_use: Flag };

const scope = 'tenant_id = ? AND customization_id = ?';
const actor = 'store-care';
const truth = (flag: Flag): boolean => Number(flag) === 1;

/** Versions and datasets that go now, by the database's own clock. */
async function decide(
  connection: Pool | PoolConnection,
  { tenantId, customizationId }: CustomizationKey,
  { keepVersions, graceMs, lockMs }: Retention,
  lock: string,
): Promise<Retired & { readonly exists: boolean; readonly runs: readonly number[] }> {
  const key = [tenantId, customizationId];
  const graceMicroseconds = Math.round(graceMs * 1_000);
  const [found] = await connection.query<RowDataPacket[]>(`SELECT 1 FROM modelwright.customizations WHERE ${scope} ${lock}`, key);
  const [versions] = await connection.query<VersionRow[]>(
    `SELECT v.version, v.run_number, v.dataset_number, v.published_at < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND AS old,
       EXISTS (SELECT 1 FROM modelwright_control.aliases a WHERE a.tenant_id = v.tenant_id AND a.customization_id = v.customization_id
         AND a.version = v.version) AS alias,
       EXISTS (SELECT 1 FROM modelwright_control.model_holds h WHERE h.tenant_id = v.tenant_id AND h.customization_id = v.customization_id
         AND h.version = v.version) AS held,
       v.locked_until > UTC_TIMESTAMP(6) OR EXISTS (SELECT 1 FROM modelwright_control.promotions p WHERE p.tenant_id = v.tenant_id
         AND p.customization_id = v.customization_id AND p.version = v.version
         AND p.promoted_at > UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND) AS locked,
       v.withdrawn_at IS NOT NULL AS withdrawn
     FROM modelwright_control.model_versions v WHERE v.tenant_id = ? AND v.customization_id = ? AND v.removed_at IS NULL ${lock}`,
    [graceMicroseconds, Math.round(lockMs * 1_000), ...key],
  );
  const [datasets] = await connection.query<DatasetRow[]>(
    `SELECT d.number, d.built_at < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND AS old,
       EXISTS (SELECT 1 FROM modelwright_control.runs r WHERE r.tenant_id = d.tenant_id AND r.customization_id = d.customization_id
         AND (r.number = d.run_number OR r.dataset_number = d.number) AND r.state NOT IN (?)) AS in_use
     FROM modelwright_control.datasets d WHERE d.tenant_id = ? AND d.customization_id = ? AND d.removed_at IS NULL ${lock}`,
    [graceMicroseconds, endedRunStates, ...key],
  );
  const exists = found.length > 0;
  const kept = versions.map((row): KeptVersion => {
    const { old, alias, held, locked, withdrawn } = row;
    return {
      version: row.version,
      dataset: row.dataset_number,
      old: truth(old),
      alias: truth(alias),
      held: truth(held),
      locked: Number(locked ?? 0) === 1,
      withdrawn: truth(withdrawn),
    };
  });
  const sets = datasets.map((row): KeptDataset => ({ number: row.number, old: truth(row.old), inUse: truth(row.in_use) }));
  const goes = retire(kept, sets, { exists, keep: keepVersions });
  return { ...goes, exists, runs: versions.filter(({ version }) => goes.versions.includes(version)).map(({ run_number }) => run_number) };
}

/** What would go. Read-only. */
export const retirable = (pool: Pool, key: CustomizationKey, retention: Retention): Promise<Retired> =>
  withDatabase(() => decide(pool, key, retention, ''));

/**
 * Takes what goes from the registry, before a byte of it goes: from then on readers are told that it was removed. What such a version had trained may be
 * trained again. Key: customization; a repeated call finds nothing more.
 */
export const retireCustomization = (pool: Pool, key: CustomizationKey, retention: Retention): Promise<Retired> =>
  inTransaction(pool, async (connection) => {
    const { tenantId, customizationId } = key;
    const id = [tenantId, customizationId];
    // Promotions lock this row first, whatever they promote: they wait, and then see what was removed.
    await connection.query(`SELECT number FROM modelwright_control.runs WHERE ${scope} ORDER BY number LIMIT 1 FOR UPDATE`, id);
    const { versions, datasets, exists, runs } = await decide(connection, key, retention, 'FOR UPDATE');
    if (versions.length > 0) {
      await connection.query(
        `UPDATE modelwright_control.model_versions SET removed_at = UTC_TIMESTAMP(6) WHERE ${scope} AND version IN (?)`,
        [...id, versions],
      );
      await connection.query(`DELETE FROM modelwright_control.effective_trainings WHERE ${scope} AND run_number IN (?)`, [...id, runs]);
      // A customization that is made anew with this id begins with none.
      if (!exists) await connection.query(`DELETE FROM modelwright_control.aliases WHERE ${scope} AND version IN (?)`, [...id, versions]);
      await audit(connection, tenantId, actor, 'model.remove', { customizationId, versions: [...versions] });
    }
    if (datasets.length > 0)
      await connection.query(`UPDATE modelwright_control.datasets SET removed_at = UTC_TIMESTAMP(6) WHERE ${scope} AND number IN (?)`, [
        ...id,
        datasets,
      ]);
    return { versions, datasets };
  });
