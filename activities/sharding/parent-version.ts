import type { RunKey } from '../../core/ids.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { parseStoredManifest } from '../../store/model-manifest.ts';
import { CorruptObject, ObjectMissing, type ObjectStore } from '../../store/object-store.ts';
import { notStored } from './not-stored.ts';
import type { StoredParts } from './known-tensors.ts';
import type { Beat } from './store-tensors.ts';

type VersionsRow = RowDataPacket & {
  version: number;
  run_number: number;
  manifest_key: string;
  manifest_sha256: string;
  withdrawn_at: Date | null;
};

/** The number that the run's version has or will have, and the row of the version that it follows. */
export async function nextVersion(
  pool: Pool,
  { tenantId, customizationId, run }: RunKey,
): Promise<{ readonly version: number; readonly parent: VersionsRow | null }> {
  const [rows] = await pool.query<VersionsRow[]>(
    `SELECT version, run_number, manifest_key, manifest_sha256, withdrawn_at FROM modelwright_control.model_versions
     WHERE tenant_id = ? AND customization_id = ? ORDER BY version DESC`,
    [tenantId, customizationId],
  );
  const own = rows.find(({ run_number }) => run_number === run)?.version;
  const version = own ?? (rows[0]?.version ?? 0) + 1;
  return { version, parent: rows.find((row) => row.version < version) ?? null };
}

/**
 * What of the parent version can be used again: its tenant's shards that the store really has. Null where there is no parent, where it was withdrawn (its
 * bytes go), or where it is from before tensors had digests. A parent that cannot be read costs bytes, not the run.
 */
export async function partsOfParent(store: ObjectStore, parent: VersionsRow | null, beat: Beat): Promise<StoredParts | null> {
  if (!parent || parent.withdrawn_at) return null;
  try {
    const bytes = await store.read({ key: parent.manifest_key, sha256: parent.manifest_sha256 });
    // What it has from its base model is not looked at: the base model of the new version is asked by itself.
    const { format, tensors, shards } = parseStoredManifest(bytes, parent.manifest_key);
    if (format === 'modelwright-model/1') return null;
    const own = shards.filter(({ scope }) => scope === 'tenant');
    return (await notStored(store, own, beat)) === null ? { tensors, shards: own } : null;
  } catch (error) {
    if (error instanceof ObjectMissing || error instanceof CorruptObject) return null;
    throw error;
  }
}
