import type { DatasetManifest } from '../../core/dataset.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { StoredMetrics } from '../../core/model.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { readManifest } from '../dataset/dataset-registry.ts';

type Row = RowDataPacket & {
  version: number;
  metrics: StoredMetrics;
  manifest_key: string | null;
  manifest_sha256: string | null;
  manifest_bytes: string | null;
};

/** The version that a candidate would replace, and the dataset that it learned from. */
export type Production = { readonly version: number; readonly metrics: StoredMetrics; readonly dataset: DatasetManifest | null };

/** Null where nothing serves yet. */
export async function productionOf(pool: Pool, store: ObjectStore, key: CustomizationKey): Promise<Production | null> {
  const [rows] = await pool.query<Row[]>(
    `SELECT v.version, v.metrics, d.manifest_key, d.manifest_sha256, d.manifest_bytes
       FROM modelwright_control.aliases a
       JOIN modelwright_control.model_versions v USING (tenant_id, customization_id, version)
       LEFT JOIN modelwright_control.datasets d
         ON d.tenant_id = v.tenant_id AND d.customization_id = v.customization_id AND d.number = v.dataset_number
      WHERE a.tenant_id = ? AND a.customization_id = ? AND a.alias = 'production'`,
    [key.tenantId, key.customizationId],
  );
  const [row] = rows;
  if (!row) return null;
  const { version, metrics, manifest_key: path, manifest_sha256: sha256, manifest_bytes: bytes } = row;
  const known = path !== null && sha256 !== null;
  return {
    version,
    metrics,
    dataset: known ? await readManifest(store, { bucket: store.bucket, key: path, sha256, bytes: Number(bytes) }) : null,
  };
}
