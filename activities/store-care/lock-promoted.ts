import { type CustomizationKey, versionName } from '../../core/ids.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { endCondition, openCondition } from '../../platform/sensing-condition.ts';
import { readModelManifest } from '../../store/model-manifest.ts';
import { CorruptObject, ObjectMissing, type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';

type Due = CustomizationKey & {
  readonly version: number;
  readonly manifest: { readonly key: string; readonly sha256: string };
  readonly until: Date;
  /** As they were when it was found due: those that come after are for the next time. */
  readonly repairs: number;
};
type DueRow = RowDataPacket & {
  tenant_id: string;
  customization_id: string;
  version: number;
  manifest_key: string;
  manifest_sha256: string;
  until: Date;
  lock_repairs: number;
};

const condition = { code: 'promoted_version_not_locked', subject: 'object lock of the store' };
const remedy =
  'it serves all the same, and is tried again every minute: see that the store runs and that its bucket has object lock (`./mw doctor` tries both); ' +
  'with two sites both must answer (docs/store/object-lock.md)';
/** Versions of one statement, in any order: those that cannot be locked stand in nobody's way. */
const pageSize = 100;
/** So many failures one after the other are a store that is away. */
const awayAfter = 3;

/**
 * Versions that the store is to lock for longer than it does. One that was promoted is locked until `lockMs` after that; one that serves until `lockMs` from
 * now, which is renewed when half of it is over. Of a deleted customization nothing is locked any more. By what the registry says of promotions, so that none is missed whoever dies.
 */
async function dueVersions(pool: Pool, lockMs: number, tenantId: string | null): Promise<Due[]> {
  const microseconds = Math.round(lockMs * 1_000);
  const [rows] = await pool.query<DueRow[]>(
    `SELECT * FROM (
       SELECT v.tenant_id, v.customization_id, v.version, v.manifest_key, v.manifest_sha256, v.locked_until, v.lock_repairs,
         MAX(p.promoted_at) + INTERVAL ? MICROSECOND AS promised, MAX(a.version) IS NOT NULL AS serves,
         GREATEST(COALESCE(v.locked_until, UTC_TIMESTAMP(6)), IF(MAX(a.version) IS NULL, MAX(p.promoted_at), UTC_TIMESTAMP(6)) + INTERVAL ? MICROSECOND)
           AS until
       FROM modelwright_control.model_versions v
       JOIN modelwright_control.promotions p
         ON p.tenant_id = v.tenant_id AND p.customization_id = v.customization_id AND p.version = v.version
       JOIN modelwright.customizations c ON c.tenant_id = v.tenant_id AND c.customization_id = v.customization_id
       LEFT JOIN modelwright_control.aliases a
         ON a.tenant_id = v.tenant_id AND a.customization_id = v.customization_id AND a.alias = 'production' AND a.version = v.version
       WHERE v.removed_at IS NULL AND v.withdrawn_at IS NULL AND v.tenant_id = COALESCE(?, v.tenant_id)
       GROUP BY v.tenant_id, v.customization_id, v.version
     ) promoted
     WHERE until > UTC_TIMESTAMP(6) AND (
       locked_until IS NULL OR locked_until < promised - INTERVAL 1 SECOND OR lock_repairs > 0
       OR (serves AND locked_until < UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND))
     ORDER BY RAND() LIMIT ${pageSize}`,
    [microseconds, microseconds, tenantId, Math.round(microseconds / 2)],
  );
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    customizationId: row.customization_id,
    version: row.version,
    manifest: { key: row.manifest_key, sha256: row.manifest_sha256 },
    until: row.until,
    repairs: row.lock_repairs,
  }));
}

/** The manifest and all that it names, what is shared with others too; the manifest first, so that whoever finds a lock finds what it is for. */
async function lockVersion(store: ObjectStore, { manifest, until }: Due): Promise<void> {
  const { base, shards, files } = await readModelManifest((ref) => store.read(ref), manifest);
  if (!store.locks) throw new StoreUnavailable('this store has no object lock');
  await store.locks.lock([manifest.key], until.getTime());
  await store.locks.lock([...new Set([...(base ? [base] : []), ...shards, ...files].map(({ key }) => key))], until.getTime());
}

/**
 * Locks what promoted versions consist of, of all tenants or of one. After the promotion, which waits for no store: until then nothing here removes a
 * version that serves. Returns how many were locked or renewed. Key: version; a repeated call finds what is left, and never shortens a lock.
 */
export async function lockPromoted(
  { pool, store, lockMs, beat }: { readonly pool: Pool; readonly store: ObjectStore; readonly lockMs: number; readonly beat: () => void },
  tenantId: string | null = null,
): Promise<number> {
  if (lockMs === 0) return 0;
  const failed = new Map<string, string>();
  let locked = 0;
  let inRow = 0;
  for (let due: readonly Due[]; inRow < awayAfter;) {
    due = (await dueVersions(pool, lockMs, tenantId)).filter((one) => !failed.has(nameOf(one)));
    if (due.length === 0) break;
    for (const one of due) {
      beat();
      try {
        await lockVersion(store, one);
        await noteLocked(pool, one);
        locked += 1;
        inRow = 0;
      } catch (error) {
        if (!(error instanceof StoreUnavailable || error instanceof ObjectMissing || error instanceof CorruptObject)) throw error;
        failed.set(nameOf(one), error.message);
        if (error instanceof StoreUnavailable && ++inRow === awayAfter) break;
      }
    }
  }
  await show(pool, failed, tenantId);
  return locked;
}

const nameOf = ({ tenantId, customizationId, version }: Due): string => `${tenantId}/${customizationId}@${versionName(version)}`;

async function noteLocked(pool: Pool, { tenantId, customizationId, version, until, repairs }: Due): Promise<void> {
  await pool.query(
    `UPDATE modelwright_control.model_versions SET locked_until = GREATEST(COALESCE(locked_until, ?), ?), lock_repairs = IF(lock_repairs = ?, 0, lock_repairs)
     WHERE tenant_id = ? AND customization_id = ? AND version = ?`,
    [until, until, repairs, tenantId, customizationId, version],
  );
}

async function show(pool: Pool, failed: ReadonlyMap<string, string>, tenantId: string | null): Promise<void> {
  const [first] = failed;
  if (first)
    await openCondition(pool, { ...condition, detail: `${first[0]} was promoted and is not locked as it should be: ${first[1]}`, remedy });
  // One tenant's being done says nothing of the others.
  else if (tenantId === null) await endCondition(pool, { ...condition, action: 'every promoted version is locked' });
}

/** Before objects are written anew, of which some may lose their locks: versions of the tenant, or all of them, are locked once more. Key: none. */
export async function lockAgain(pool: Pool, tenantId: string | null): Promise<void> {
  await pool.query(
    'UPDATE modelwright_control.model_versions SET lock_repairs = lock_repairs + 1 WHERE locked_until IS NOT NULL AND tenant_id = COALESCE(?, tenant_id)',
    [tenantId],
  );
}
