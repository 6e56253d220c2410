import type { Readable } from 'node:stream';
import type { ModelFile, StoredManifest } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import { nowMs } from '../../platform/clock.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { modelManifestKey, tenantFileKey, tenantShardKey } from '../../store/keys.ts';
import { withBase, withoutBase } from '../../store/model-manifest.ts';
import { CorruptObject, type ObjectStore, type PutResult, StoreUnavailable } from '../../store/object-store.ts';
import { signManifest } from '../../store/model-signature.ts';
import { SafetensorsError } from '../../store/safetensors.ts';
import { failure } from '../failure.ts';
import type { ShardedModel, ShardingActivities } from '../ports.ts';
import { readManifest } from '../dataset/dataset-registry.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { checkObject } from '../store-care/check-object.ts';
import { sweepMark } from '../store-care/leases.ts';
import { baseModelOf } from '../training/base-model.ts';
import { bringPushedBase } from '../training/bring-base.ts';
import { storeBase } from './base-parts.ts';
import { KnownTensors } from './known-tensors.ts';
import { nextVersion, partsOfParent } from './parent-version.ts';
import { putManifest } from './put-manifest.ts';
import type { ShardingDependencies } from './sharding-activities.ts';
import { storeTensors } from './store-tensors.ts';
import { headerOf, stagedSource, streamOf } from './tensor-source.ts';

type ResultFile = { readonly labels: readonly string[]; readonly maxTokens: number };

/** Under a lease of the tenant's models and of the base: writes shards and files, then the manifest, create-only. Key: run + attempt. Content-addressed, so a repeated call sends nothing twice. */
export async function shardModel(
  { pool, store, catalog, modelsDir, signer, shardBytes, beat }: ShardingDependencies,
  input: Parameters<ShardingActivities['shardModel']>[0],
): Promise<ShardedModel> {
  const { tenantId, customizationId, run, dataset, training, verdict } = input;
  const settings = await loadTrainingSettings(pool, catalog, input);
  const bring = bringPushedBase({ pool, store, modelsDir, beat });
  const base = await baseModelOf(modelsDir, settings.options, await readManifest(store, dataset.manifest), settings.model.base, bring);
  const { version, parent } = await nextVersion(pool, input);
  const parentVersion = parent?.version ?? null;
  const staged = (name: string): ObjectRef => {
    const ref = training.files[name];
    if (!ref) throw failure('TrainingFailed', `the trainer left no ${name}: its log says why`);
    return ref;
  };
  const result = JSON.parse(Buffer.from(await store.read(staged('result.json'))).toString('utf8')) as ResultFile;
  const files: ModelFile[] = [];
  let created = 0;
  const noteFile = (path: string, role: ModelFile['role'], { ref, created: isNew }: PutResult): void => {
    if (isNew) created += ref.bytes;
    files.push({ path, role, sha256: ref.sha256, bytes: ref.bytes, key: ref.key, scope: 'tenant' });
  };
  const storeFile = async (path: string, role: ModelFile['role'], bytes: Uint8Array): Promise<void> => {
    const sha256 = sha256Hex(bytes);
    noteFile(path, role, await store.putContent(tenantFileKey(tenantId, sha256), bytes, sha256));
  };
  const weights = staged('model.safetensors');
  const source = stagedSource(store, weights);
  const shared = await storeBase(store, base, beat, { shardBytes, mark: await sweepMark(pool) });
  const header = await readable(() => headerOf(source));
  const names = new Set(header.parsed.tensors.keys());
  const known = new KnownTensors(shared, await partsOfParent(store, parent, beat), names);
  const own = await asStored(store, weights, beat, () =>
    readable(() =>
      storeTensors(store, source, 'tenant', (sha256) => tenantShardKey(tenantId, sha256), beat, {
        shardBytes,
        sha256: weights.sha256,
        header,
        reuse: (name, tensor) => known.reuse(name, tensor),
      }),
    ),
  );
  created += own.created + shared.created;
  await storeFile('labels.json', 'labels', Buffer.from(`${JSON.stringify(result.labels)}\n`));
  const answering = training.files['answering.json'];
  if (answering) await storeFile('answering.json', 'answering', await store.read(answering));
  if (training.encoder === 'own') {
    const graph = staged('encoder.onnx');
    const { sha256, bytes } = graph;
    const open = (): Promise<Readable> => Promise.resolve(streamOf(stagedSource(store, graph), () => beat()));
    const put = (): Promise<PutResult> => store.putContentStream(tenantFileKey(tenantId, sha256), { sha256, bytes, open });
    noteFile('encoder.onnx', 'encoder-onnx', await asStored(store, graph, beat, put));
  }
  // What the training changed stands in for the base's tensor or file of the same name.
  const tensors = { ...shared.tensors, ...own.tensors };
  const { perLabel: _perLabel, ...metrics } = training.metrics;
  const { labels: _labels, ...judged } = verdict;
  const ownParts = withoutBase({ tensors, shards: known.shardsOf(tensors, own.shards), files }, shared);
  const manifest: Omit<StoredManifest, 'signature'> = {
    format: 'modelwright-model/3',
    tenantId,
    customizationId,
    version,
    run,
    businessModel: { id: settings.model.id, version: settings.model.version },
    dataset: { number: dataset.number, digest: dataset.digest, rows: dataset.rows, cut: dataset.cut },
    options: settings.options,
    optionsDigest: training.optionsDigest,
    trainerDigest: training.trainerDigest,
    parent: parentVersion,
    labels: result.labels,
    encoder: { name: base.name, dim: base.dim, maxTokens: result.maxTokens, prefix: base.prefix },
    base: shared.manifest,
    ...ownParts,
    metrics,
    verdict: judged,
    createdAt: new Date(nowMs()).toISOString(),
  };
  const ref = await putManifest(store, modelManifestKey(input, version), signManifest(manifest, signer));
  const whole = withBase(ownParts, shared);
  const bytes = [...whole.shards, ...whole.files, shared.manifest].reduce((sum, part) => sum + part.bytes, ref.bytes);
  return { version, manifest: ref, bytes, storedBytes: created + ref.bytes, parent: parentVersion };
}

/** Bytes that came with the wrong digest are read again later, if they are stored with the right one. */
async function asStored<T>(store: ObjectStore, ref: ObjectRef, beat: () => void, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CorruptObject && (await checkObject(store, ref, beat)).state === 'whole')
      throw new StoreUnavailable(`reading ${ref.key} gave other bytes than are stored`, { cause: error });
    throw error;
  }
}

/** Weights that cannot be read are the trainer's fault, and would not be others a second time. */
async function readable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SafetensorsError)
      throw failure('TrainingFailed', `the trainer left weights that cannot be read: ${error.message}`, error);
    throw error;
  }
}
