import type { DatasetManifest, DatasetRef, DatasetSchema } from '../../core/dataset.ts';
import type { DirtyBuckets } from '../../core/dirty-buckets.ts';
import type { CustomizationKey, RunKey } from '../../core/ids.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { failure } from '../failure.ts';
import { inTransaction } from '../registry/database.ts';

type DatasetTableRow = RowDataPacket & {
  number: number;
  digest: string;
  cut: string;
  manifest_key: string;
  manifest_sha256: string;
  manifest_bytes: string;
  row_count: string;
};

const columns = 'number, digest, cut, manifest_key, manifest_sha256, manifest_bytes, row_count';
const scope = 'tenant_id = ? AND customization_id = ?';

export type RegisteredDataset = Omit<DatasetRef, 'bucketsRead' | 'bucketsReused'>;

const fromRow = (store: ObjectStore, row: DatasetTableRow): RegisteredDataset => ({
  number: row.number,
  digest: row.digest,
  rows: Number(row.row_count),
  cut: row.cut,
  manifest: { bucket: store.bucket, key: row.manifest_key, sha256: row.manifest_sha256, bytes: Number(row.manifest_bytes) },
});

/** The latest dataset of a customization; null before the first, and where it went with a customization of the same id. */
export async function latestDataset(pool: Pool, store: ObjectStore, key: CustomizationKey): Promise<RegisteredDataset | null> {
  const [rows] = await pool.query<DatasetTableRow[]>(
    `SELECT ${columns} FROM modelwright_control.datasets WHERE ${scope} AND removed_at IS NULL ORDER BY number DESC LIMIT 1`,
    [key.tenantId, key.customizationId],
  );
  return rows[0] ? fromRow(store, rows[0]) : null;
}

/** The number of the next dataset of a customization: one that was given once is not given again. */
export async function nextDatasetNumber(pool: Pool, { tenantId, customizationId }: CustomizationKey): Promise<number> {
  const [rows] = await pool.query<(RowDataPacket & { number: string })[]>(
    `SELECT COALESCE(MAX(number), 0) + 1 AS number FROM modelwright_control.datasets WHERE ${scope}`,
    [tenantId, customizationId],
  );
  return Number(rows[0]?.number ?? 1);
}

/** The dataset that a run has built; null while it has not. */
export async function datasetOfRun(pool: Pool, store: ObjectStore, key: RunKey): Promise<RegisteredDataset | null> {
  const [rows] = await pool.query<DatasetTableRow[]>(
    `SELECT ${columns} FROM modelwright_control.datasets WHERE ${scope} AND run_number = ?`,
    [key.tenantId, key.customizationId, key.run],
  );
  return rows[0] ? fromRow(store, rows[0]) : null;
}

export async function readManifest(store: ObjectStore, manifest: ObjectRef): Promise<DatasetManifest> {
  return JSON.parse(Buffer.from(await store.read(manifest)).toString('utf8')) as DatasetManifest;
}

/** Whether the dataset was read from where the customization's rows are now: buckets of another table, filter or columns are no use. */
export const isOfSource = (manifest: DatasetManifest, { sourceDigest }: { readonly sourceDigest: string | null }): boolean =>
  (manifest.source?.digest ?? null) === sourceDigest;

/** Whether the dataset was read with this structure of the mapped columns: what another structure gave cannot be reused. */
export const isOfSchema = (manifest: DatasetManifest, schema: DatasetSchema): boolean =>
  manifest.schema === undefined || manifest.schema.digest === schema.digest;

/**
 * Registers a run's dataset under the number that its manifest carries. Key: run. A second builder of the same run finds the first one's row;
 * a number that another run took meanwhile is a reason to build again.
 */
export const registerDataset = (
  pool: Pool,
  key: RunKey,
  manifest: DatasetManifest,
  ref: ObjectRef,
  readBuckets: DirtyBuckets | null,
): Promise<void> =>
  inTransaction(pool, async (connection) => {
    const customization = [key.tenantId, key.customizationId];
    const [found] = await connection.query<RowDataPacket[]>(
      `SELECT 1 FROM modelwright.customizations WHERE ${scope} FOR SHARE`,
      customization,
    );
    if (found.length === 0)
      throw failure('CustomizationGone', `customization ${key.customizationId} was deleted while its dataset was built`);
    const [taken] = await connection.query<(RowDataPacket & { run_number: number })[]>(
      `SELECT run_number FROM modelwright_control.datasets WHERE ${scope} AND (number = ? OR run_number = ?) FOR UPDATE`,
      [...customization, manifest.number, key.run],
    );
    if (taken.some(({ run_number }) => run_number === key.run)) return;
    if (taken.length > 0)
      throw failure('Unavailable', `run ${taken[0]?.run_number} registered dataset ${manifest.number} first: built again`);
    await connection.query('INSERT INTO modelwright_control.datasets SET ?', {
      tenant_id: key.tenantId,
      customization_id: key.customizationId,
      number: manifest.number,
      run_number: key.run,
      digest: manifest.digest,
      parent_number: manifest.parent,
      cut: manifest.cut,
      manifest_key: ref.key,
      manifest_sha256: ref.sha256,
      manifest_bytes: ref.bytes,
      row_count: manifest.rows,
      read_buckets: readBuckets,
      base_model: manifest.baseModel ? JSON.stringify(manifest.baseModel) : null,
    });
  });
