import { fineBuckets } from '../../core/dirty-buckets.ts';
import type { DatasetManifest, DatasetRow } from '../../core/dataset.ts';
import type { ForgettingKey } from '../../core/forgetting.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import { bucketOf } from '../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { CorruptObject, ObjectMissing, type ObjectStore } from '../../store/object-store.ts';
import { exampleTexts } from '../../store/example-texts.ts';
import { type Needle, needlesOf } from '../../store/raw-search.ts';
import { readRows } from '../dataset/bucket-file.ts';
import { readManifest } from '../dataset/dataset-registry.ts';
import { type Forgetting, type Holds, idOf, ofForgetting } from './forgettings.ts';

type DatasetTableRow = RowDataPacket & { number: number; manifest_key: string; manifest_sha256: string };

/** The rows of a dataset that have these ids. Reads only buckets that could hold one. */
async function rowsWith(store: ObjectStore, manifest: DatasetManifest, ids: ReadonlySet<string>): Promise<DatasetRow[]> {
  const width = fineBuckets / manifest.bucketCount;
  const wanted = new Set([...ids].map((id) => Math.floor(bucketOf(id) / width)));
  const found: DatasetRow[] = [];
  for (const bucket of manifest.buckets)
    if (wanted.has(bucket.index)) found.push(...(await readRows(store, bucket)).filter(({ id }) => ids.has(id)));
  return found;
}

/**
 * Looks into every dataset that was not looked into yet: whether it holds one of the rows, and how to find the texts that it has of them again. One
 * that cannot be read is taken to hold them, and looked into again. Key: dataset; what was seen is noted after each.
 */
export async function findLearnedRows(
  { pool, store, beat }: { readonly pool: Pool; readonly store: ObjectStore; readonly beat: () => void },
  key: ForgettingKey,
  forgetting: Forgetting,
): Promise<Forgetting> {
  const [rows] = await pool.query<DatasetTableRow[]>(
    `SELECT number, manifest_key, manifest_sha256 FROM modelwright_control.datasets
     WHERE tenant_id = ? AND customization_id = ? AND removed_at IS NULL ORDER BY number`,
    [key.tenantId, key.customizationId],
  );
  const ids = new Set(forgetting.exampleIds);
  let { datasets, needles } = forgetting;
  for (const { number, manifest_key, manifest_sha256 } of rows) {
    const known = datasets[number];
    if (typeof known === 'boolean') continue;
    beat();
    const seen = await lookInto(store, { key: manifest_key, sha256: manifest_sha256 } as ObjectRef, ids);
    if (seen.holds === known) continue;
    datasets = { ...datasets, [number]: seen.holds };
    needles = withTexts(needles, seen.texts, forgetting.salt);
    await pool.query(`UPDATE modelwright_control.forgettings SET datasets = ?, needles = ? WHERE ${ofForgetting} AND ended_at IS NULL`, [
      JSON.stringify(datasets),
      JSON.stringify(needles),
      ...idOf(key),
    ]);
  }
  return { ...forgetting, datasets, needles };
}

async function lookInto(store: ObjectStore, ref: ObjectRef, ids: ReadonlySet<string>): Promise<{ holds: Holds; texts: string[] }> {
  try {
    const found = await rowsWith(store, await readManifest(store, ref), ids);
    return { holds: found.length > 0, texts: found.flatMap((row) => exampleTexts(row)) };
  } catch (error) {
    if (error instanceof CorruptObject || error instanceof ObjectMissing) return { holds: 'unread', texts: [] };
    throw error;
  }
}

/** With those of the texts that are not among them yet. */
function withTexts(needles: readonly Needle[], texts: readonly string[], salt: string): readonly Needle[] {
  const known = new Set(needles.map(({ sha256 }) => sha256));
  let next = needles.reduce((most, { text }) => Math.max(most, text + 1), 0);
  const added: Needle[] = [];
  for (const text of texts) {
    const made = needlesOf([text], salt, next).filter(({ sha256 }) => !known.has(sha256));
    if (made.length === 0) continue;
    next += 1;
    for (const needle of made) known.add(needle.sha256);
    added.push(...made);
  }
  return [...needles, ...added];
}
