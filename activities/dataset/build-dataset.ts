import { factsOf } from '../../catalog/example-facts.ts';
import type { DatasetBucket, DatasetManifest, DatasetRef, DatasetRow } from '../../core/dataset.ts';
import { type DirtyBuckets, differingBuckets, unionBuckets } from '../../core/dirty-buckets.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { canonicalJsonOf } from '../../core/json.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { datasetManifestKey } from '../../store/keys.ts';
import type { DatasetActivities } from '../ports.ts';
import { chooseBaseModel } from '../training/base-model.ts';
import { bringPushedBase } from '../training/bring-base.ts';
import { approveStructure } from '../registry/approved-structure.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { bucketCountFor, bucketsToRead, fineBucketsOf } from './bucket-count.ts';
import { sumLanguages, unknownLanguage } from './choose-encoder.ts';
import { readBucket, writeBucket } from './bucket-file.ts';
import { atSnapshot } from './consistent-snapshot.ts';
import type { DatasetDependencies } from './dataset-activities.ts';
import {
  datasetOfRun,
  isOfSchema,
  isOfSource,
  latestDataset,
  nextDatasetNumber,
  readManifest,
  registerDataset,
} from './dataset-registry.ts';
import { rowShaper } from './dataset-row.ts';
import { Exclusions } from './exclusions.ts';
import { sidesOf, sumLabels, sumSides } from './label-counts.ts';
import { languageOf } from './language-of.ts';
import { merkleRoot } from '../../store/merkle.ts';
import { pinStructure } from './pin-structure.ts';
import { rowSourceOf } from './row-source.ts';
import { scanBuckets } from './scan-bucket.ts';
import { normalisedText } from './split.ts';
import { TextGroups } from './text-groups.ts';

/** Buckets that the run was started for, and those that were changed since, up to the snapshot: what the cut says is what the dataset holds. */
async function withLater(
  { changedBuckets }: DatasetDependencies,
  key: CustomizationKey,
  asked: DirtyBuckets,
  parent: { readonly number: number; readonly cut: string },
): Promise<DirtyBuckets | null> {
  const later = changedBuckets ? await changedBuckets(key, parent) : asked;
  return later === null ? null : unionBuckets(asked, later);
}

/** Builds and registers the dataset of a run. Key: run. Everything before the registry row is content-addressed, so a repeated build stores nothing new. */
export async function buildDataset(
  dependencies: DatasetDependencies,
  input: Parameters<DatasetActivities['buildDataset']>[0],
): Promise<DatasetRef> {
  const { pool, store, catalog, maxTextChars, modelsDir, beat } = dependencies;
  const done = await datasetOfRun(pool, store, input);
  if (done) return { ...done, bucketsRead: 0, bucketsReused: (await readManifest(store, done.manifest)).bucketCount };

  const settings = await loadTrainingSettings(pool, catalog, input);
  const parentRef = await latestDataset(pool, store, input);
  const parent = parentRef && (await readManifest(store, parentRef.manifest));
  const shape = rowShaper(settings.model, settings.splitSalt, maxTextChars);
  const { tenantId, customizationId } = input;
  const source = rowSourceOf(dependencies, input, settings);

  const built = await atSnapshot(pool, source.table, async (connection, cut) => {
    const { schema, approved } = await pinStructure(pool, connection, input, settings.source);
    const reader = await source.open(connection);
    const bucketCount = bucketCountFor(await reader.count(), parent?.bucketCount ?? null);
    // Buckets of another width, another source or structure, or another version of the business model are no use: everything is read.
    const reusable =
      parent?.bucketCount === bucketCount &&
      parent.businessModel.version === settings.model.version &&
      isOfSource(parent, settings) &&
      isOfSchema(parent, schema)
        ? parent
        : null;
    const fingerprints = await reader.fingerprints();
    const asked = reusable
      ? fingerprints
        ? differingBuckets(reusable.source?.fingerprints ?? [], fingerprints)
        : input.dirtyBuckets
      : null;
    // Where everything is read anyway, or is known already, nobody needs to be asked.
    const partly = !fingerprints && asked !== null && bucketsToRead(asked, bucketCount).length < bucketCount;
    const dirty = partly && parentRef ? await withLater(dependencies, input, asked, parentRef) : asked;
    const toRead = new Set(bucketsToRead(dirty, bucketCount));
    const scanning = scanBuckets(reader, [...toRead], bucketCount, shape, beat);
    const groups = new TextGroups();
    const exclusions = new Exclusions();
    const buckets: DatasetBucket[] = [];
    for (let index = 0; index < bucketCount; index++) {
      beat();
      const kept = toRead.has(index) ? undefined : reusable?.buckets[index];
      if (kept) {
        const counted: Record<string, number> = {};
        for (const line of await readBucket(store, kept)) {
          const row = JSON.parse(line) as DatasetRow;
          const { text, answer } = factsOf(settings.model, row);
          if (text === null) continue;
          const key = normalisedText(text);
          groups.add(row.id, key, answer);
          if (kept.languages) continue;
          const language = languageOf(key) ?? unknownLanguage;
          counted[language] = (counted[language] ?? 0) + 1;
        }
        buckets.push({ languages: counted, ...kept });
        continue;
      }
      const { value: scanned, done } = await scanning.next();
      if (done) throw new Error(`bucket ${index} of ${bucketCount} was not read`);
      for (const { id, key, answer } of scanned.texts) groups.add(id, key, answer);
      exclusions.replace(index, scanned.excluded);
      buckets.push(await writeBucket(store, input, scanned));
    }
    const labels = sumLabels(buckets.map((bucket) => bucket.labels));
    const languages = sumLanguages(buckets.map((bucket) => bucket.languages ?? {}));
    const manifest: DatasetManifest = {
      format: 'modelwright-dataset/1',
      tenantId,
      customizationId,
      businessModel: { id: settings.model.id, version: settings.model.version },
      ...(settings.sourceDigest === null
        ? {}
        : { source: { name: source.name, digest: settings.sourceDigest, fingerprints: fingerprints ?? [] } }),
      schema,
      number: await nextDatasetNumber(pool, input),
      parent: parentRef?.number ?? null,
      cut,
      bucketCount,
      buckets,
      rows: buckets.reduce((sum, { rows }) => sum + rows, 0),
      counts: sumSides(buckets.map(sidesOf)),
      labels,
      exclusions: exclusions.list(reusable?.exclusions ?? [], toRead),
      conflicts: groups.conflicts,
      duplicates: groups.duplicates,
      languages,
      baseModel: await chooseBaseModel(
        modelsDir,
        settings.options,
        languages,
        parent,
        settings.model.base,
        bringPushedBase({ pool, store, modelsDir, beat }),
      ),
      digest: merkleRoot(buckets.map(({ digest }) => Buffer.from(digest, 'hex'))).toString('hex'),
    };
    return { manifest, bucketsRead: toRead.size, readBuckets: fineBucketsOf([...toRead], bucketCount), approved };
  });

  const bytes = Buffer.from(canonicalJsonOf(built.manifest), 'utf8');
  const sha256 = sha256Hex(bytes);
  const { ref } = await store.putContent(datasetManifestKey(input, sha256), bytes, sha256);
  await registerDataset(pool, input, built.manifest, ref, built.readBuckets);
  await approveStructure(pool, input, built.approved);
  // Of two builders of one run, the first that registered counts.
  const registered = await datasetOfRun(pool, store, input);
  const { manifest, bucketsRead } = built;
  const own = { number: manifest.number, digest: manifest.digest, rows: manifest.rows, cut: manifest.cut, manifest: ref };
  return { ...(registered ?? own), bucketsRead, bucketsReused: manifest.bucketCount - bucketsRead };
}
