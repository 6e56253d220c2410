import { CorruptObject, ObjectMissing } from '../../store/object-store.ts';
import type { DatasetManifest } from '../../core/dataset.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { readBucket } from '../dataset/bucket-file.ts';
import { atSnapshot } from '../dataset/consistent-snapshot.ts';
import { latestDataset, readManifest } from '../dataset/dataset-registry.ts';
import { rowShaper } from '../dataset/dataset-row.ts';
import { merkleRoot } from '../../store/merkle.ts';
import { rowSourceOf } from '../dataset/row-source.ts';
import { scanBuckets } from '../dataset/scan-bucket.ts';
import { compareBucket, storedBucket } from './compare-bucket.ts';
import { Differences } from './differences.ts';
import { repairBucket } from './repair-bucket.ts';
import type { VerificationDependencies } from './verification-activities.ts';

export type Comparison = {
  readonly table: { readonly rows: number; readonly digest: string; readonly excluded: number; readonly cut: string };
  readonly dataset: { readonly number: number | null; readonly rows: number; readonly digest: string; readonly cut: string };
  readonly differences: Differences;
  readonly misplaced: readonly string[];
  readonly damaged: readonly { readonly bucket: number; readonly detail: string; readonly repaired: boolean }[];
  /** The dataset was built with another version of the business model: its rows may look different although nobody changed them. */
  readonly otherModel: string | null;
};

type Part = { readonly rows: number; readonly root: Buffer };
const sum = (parts: readonly Part[]) => ({
  rows: parts.reduce((total, { rows }) => total + rows, 0),
  digest: merkleRoot(parts.map(({ root }) => root)).toString('hex'),
});

/** The table at one instant against the last dataset that was registered before it. One bucket of each is in memory at a time. */
export async function compareTable(dependencies: VerificationDependencies, key: CustomizationKey): Promise<Comparison> {
  const { pool, store, catalog, maxTextChars, beat } = dependencies;
  const settings = await loadTrainingSettings(pool, catalog, key);
  // Before the snapshot: the table can only be later than the dataset.
  const registered = await latestDataset(pool, store, key);
  const manifest: DatasetManifest | null = registered && (await readManifest(store, registered.manifest));
  const shape = rowShaper(settings.model, settings.splitSalt, maxTextChars);
  const bucketCount = manifest?.bucketCount ?? 1;
  const differences = new Differences();
  const damaged: Comparison['damaged'][number][] = [];
  const misplaced: string[] = [];
  const table: Part[] = [];
  const dataset: Part[] = [];
  let excluded = 0;

  const source = rowSourceOf(dependencies, key, settings);
  const every = Array.from({ length: bucketCount }, (_, index) => index);

  const cut = await atSnapshot(pool, source.table, async (connection, gtids) => {
    for await (const scanned of scanBuckets(await source.open(connection), every, bucketCount, shape, beat)) {
      beat();
      const { index } = scanned;
      excluded += scanned.excluded.length;
      table.push({ rows: scanned.rows.length, root: Buffer.from(scanned.digest, 'hex') });
      const known = manifest?.buckets[index];
      let lines: readonly string[] = [];
      if (known) {
        try {
          lines = await readBucket(store, known);
        } catch (error) {
          if (!(error instanceof CorruptObject) && !(error instanceof ObjectMissing)) throw error;
          const repaired = known.digest === scanned.digest && (await repairBucket(store, known, scanned));
          damaged.push({ bucket: index, detail: `${known.ref.key}: ${error.message}`, repaired });
          dataset.push({ rows: repaired ? known.rows : 0, root: repaired ? Buffer.from(known.digest, 'hex') : merkleRoot([]) });
          continue;
        }
      }
      const stored = storedBucket(lines, { index, bucketCount });
      dataset.push({ rows: stored.rows, root: Buffer.from(stored.digest, 'hex') });
      misplaced.push(...stored.misplaced);
      if (known && stored.digest !== known.digest)
        damaged.push({ bucket: index, detail: `${known.ref.key}: its rows do not have the digest of the manifest`, repaired: false });
      if (stored.digest !== scanned.digest) for (const difference of compareBucket(scanned, stored)) differences.add(difference);
    }
    return gtids;
  });
  const built = manifest?.businessModel.version;
  return {
    table: { ...sum(table), excluded, cut },
    dataset: { number: registered?.number ?? null, cut: registered?.cut ?? '', ...sum(dataset) },
    differences,
    misplaced,
    damaged,
    otherModel:
      built !== undefined && built !== settings.model.version
        ? `the dataset was built with version ${built} of ${settings.model.id}, which is now ${settings.model.version}`
        : null,
  };
}
