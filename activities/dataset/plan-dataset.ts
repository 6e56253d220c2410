import { missingData } from '../../catalog/minimum-data.ts';
import type { DatasetBucket } from '../../core/dataset.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { DatasetActivities, DatasetPlan } from '../ports.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { bucketsToRead } from './bucket-count.ts';
import { readBucket } from './bucket-file.ts';
import { atSnapshot } from './consistent-snapshot.ts';
import type { DatasetDependencies } from './dataset-activities.ts';
import { isOfSchema, isOfSource, latestDataset, readManifest } from './dataset-registry.ts';
import { rowShaper } from './dataset-row.ts';
import { rowsByLabel, sumLabels } from './label-counts.ts';
import { leafDigest } from '../../store/merkle.ts';
import { pinStructure } from './pin-structure.ts';
import { rowSourceOf } from './row-source.ts';
import { type ScannedBucket, scanBuckets } from './scan-bucket.ts';

/** Compares the table with the last dataset. Reads dirty buckets only, and of the last dataset only buckets that differ. */
export async function planDataset(
  dependencies: DatasetDependencies,
  input: Parameters<DatasetActivities['planDataset']>[0],
): Promise<DatasetPlan> {
  const { pool, store, catalog, maxTextChars, beat } = dependencies;
  const settings = await loadTrainingSettings(pool, catalog, input);
  const parentRef = await latestDataset(pool, store, input);
  const parent = parentRef && (await readManifest(store, parentRef.manifest));
  const shape = rowShaper(settings.model, settings.splitSalt, maxTextChars);
  const bucketCount = parent?.bucketCount ?? 1;
  const before = new Map((parent?.buckets ?? []).map((bucket) => [bucket.index, bucket] as const));
  const source = rowSourceOf(dependencies, input, settings);

  return await atSnapshot(pool, source.table, async (connection, cut) => {
    const { schema } = await pinStructure(pool, connection, input, settings.source);
    const reader = await source.open(connection);
    const reusable = parent && isOfSource(parent, settings) && isOfSchema(parent, schema);
    const toRead = bucketsToRead(reusable ? input.dirtyBuckets : null, bucketCount);
    const after = new Map([...before].map(([index, { rows, labels }]) => [index, { rows, labels }] as const));
    let changedRows = 0;
    let excluded = 0;
    for await (const scanned of scanBuckets(reader, toRead, bucketCount, shape, beat)) {
      beat();
      const { index } = scanned;
      excluded += scanned.excluded.length;
      const known = before.get(index);
      after.set(index, { rows: scanned.rows.length, labels: scanned.labels });
      if (known?.digest !== scanned.digest) changedRows += await countChanges(store, known, scanned);
    }
    const labels = sumLabels([...after.values()].map((bucket) => bucket.labels));
    const rows = [...after.values()].reduce((sum, bucket) => sum + bucket.rows, 0);
    const reasons = missingData(rowsByLabel(labels), rows, settings.model.minimumData);
    if (reasons.length > 0 && excluded > 0) reasons.push(`${excluded} rows cannot be used: see the readiness of the customization`);
    return { netChange: changedRows > 0, ready: reasons.length === 0, reasons, rows, changedRows, cut };
  });
}

/** Rows that were added, changed or removed. */
async function countChanges(store: ObjectStore, known: DatasetBucket | undefined, scanned: ScannedBucket): Promise<number> {
  const before = new Map<string, string>();
  for (const line of known ? await readBucket(store, known) : [])
    before.set((JSON.parse(line) as { id: string }).id, leafDigest(line).toString('base64'));
  let changed = 0;
  for (const { id, digest } of scanned.rows) {
    if (before.get(id) !== digest.toString('base64')) changed += 1;
    before.delete(id);
  }
  return changed + before.size;
}
