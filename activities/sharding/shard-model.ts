import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canonicalJson } from '../../core/json.ts';
import type { ModelFile, ModelManifest } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import { nowMs } from '../../platform/clock.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { modelManifestKey, tenantFileKey, tenantShardKey } from '../../store/keys.ts';
import { failure } from '../failure.ts';
import type { ShardedModel, ShardingActivities } from '../ports.ts';
import { readManifest } from '../dataset/dataset-registry.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { baseModelOf } from '../training/base-model.ts';
import { storeBase } from './base-parts.ts';
import { fetchStaged } from './fetch-staged.ts';
import type { ShardingDependencies } from './sharding-activities.ts';
import { storeTensors } from './store-tensors.ts';

type VersionsRow = RowDataPacket & { version: number; run_number: number };
type ResultFile = { readonly labels: readonly string[]; readonly maxTokens: number };

/** Writes shards and files, then the manifest, create-only. Key: run + attempt. Content-addressed, so a repeated call sends nothing twice. */
export async function shardModel(
  { pool, store, catalog, modelsDir, beat }: ShardingDependencies,
  input: Parameters<ShardingActivities['shardModel']>[0],
): Promise<ShardedModel> {
  const { tenantId, customizationId, run, dataset, training, verdict } = input;
  const settings = await loadTrainingSettings(pool, catalog, input);
  const base = await baseModelOf(modelsDir, settings.options, await readManifest(store, dataset.manifest), settings.model.base);
  const { version, parent } = await nextVersion(pool, input);
  const staged = (name: string): ObjectRef => {
    const ref = training.files[name];
    if (!ref) throw failure('TrainingFailed', `the trainer left no ${name}: its log says why`);
    return ref;
  };
  const result = JSON.parse(Buffer.from(await store.read(staged('result.json'))).toString('utf8')) as ResultFile;
  const scratch = await mkdtemp(join(tmpdir(), 'modelwright-shard-'));
  try {
    const files: ModelFile[] = [];
    let created = 0;
    const storeFile = async (path: string, role: ModelFile['role'], bytes: Uint8Array): Promise<void> => {
      const sha256 = sha256Hex(bytes);
      const put = await store.putContent(tenantFileKey(tenantId, sha256), bytes, sha256);
      if (put.created) created += bytes.byteLength;
      files.push({ path, role, sha256, bytes: bytes.byteLength, key: put.ref.key, scope: 'tenant' });
    };
    const weights = join(scratch, 'model.safetensors');
    await fetchStaged(store, staged('model.safetensors'), weights, beat);
    const own = await storeTensors(store, weights, 'tenant', (sha256) => tenantShardKey(tenantId, sha256), beat);
    const shared = await storeBase(store, base, beat);
    created += own.created + shared.created;
    await storeFile('labels.json', 'labels', Buffer.from(`${JSON.stringify(result.labels)}\n`));
    const answering = training.files['answering.json'];
    if (answering) await storeFile('answering.json', 'answering', await store.read(answering));
    if (training.encoder === 'own') {
      const onnx = join(scratch, 'encoder.onnx');
      await fetchStaged(store, staged('encoder.onnx'), onnx, beat);
      await storeFile('encoder.onnx', 'encoder-onnx', await readFile(onnx));
    }
    // What the training changed stands in for the base's tensor or file of the same name.
    const tensors = { ...shared.tensors, ...own.tensors };
    const used = new Set(Object.values(tensors).map(({ shard }) => shard));
    const shards = [...own.shards, ...shared.shards].filter(({ sha256 }) => used.has(sha256));
    const allFiles = [...files, ...shared.files.filter(({ path }) => !files.some((file) => file.path === path))];
    const manifest: ModelManifest = {
      format: 'modelwright-model/1',
      tenantId,
      customizationId,
      version,
      run,
      businessModel: { id: settings.model.id, version: settings.model.version },
      dataset: { number: dataset.number, digest: dataset.digest, rows: dataset.rows, cut: dataset.cut },
      options: settings.options,
      optionsDigest: training.optionsDigest,
      trainerDigest: training.trainerDigest,
      parent,
      labels: result.labels,
      encoder: { name: base.name, dim: base.dim, maxTokens: result.maxTokens, prefix: base.prefix },
      tensors,
      shards,
      files: allFiles,
      metrics: training.metrics,
      verdict,
      createdAt: new Date(nowMs()).toISOString(),
    };
    const { ref, bytes: manifestBytes } = await putManifest(store, modelManifestKey(input, version), manifest);
    const bytes = [...shards, ...allFiles].reduce((sum, part) => sum + part.bytes, manifestBytes);
    return { version, manifest: ref, bytes, storedBytes: created + manifestBytes, parent };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The number that the run's version has or will have, and the version that it follows. */
async function nextVersion(
  pool: ShardingDependencies['pool'],
  { tenantId, customizationId, run }: { readonly tenantId: string; readonly customizationId: string; readonly run: number },
): Promise<{ version: number; parent: number | null }> {
  const [rows] = await pool.query<VersionsRow[]>(
    'SELECT version, run_number FROM modelwright_control.model_versions WHERE tenant_id = ? AND customization_id = ? ORDER BY version DESC',
    [tenantId, customizationId],
  );
  const own = rows.find(({ run_number }) => run_number === run)?.version;
  const version = own ?? (rows[0]?.version ?? 0) + 1;
  return { version, parent: rows.find((row) => row.version < version)?.version ?? null };
}

/** Create-only: of two writers one wins, and the other's manifest must describe the same model. */
async function putManifest(
  store: ShardingDependencies['store'],
  key: string,
  manifest: ModelManifest,
): Promise<{ readonly ref: ObjectRef; readonly bytes: number }> {
  const bytes = Buffer.from(canonicalJson(JSON.parse(JSON.stringify(manifest))), 'utf8');
  const put = await store.putNew(key, bytes);
  if (put.created) return { ref: put.ref, bytes: bytes.byteLength };
  const chunks: Buffer[] = [];
  for await (const chunk of await store.stream(key)) chunks.push(chunk as Buffer);
  const stored = Buffer.concat(chunks);
  const other = JSON.parse(stored.toString('utf8')) as ModelManifest;
  const described = ({ tensors, labels, dataset, trainerDigest, optionsDigest }: ModelManifest): string =>
    JSON.stringify([Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1)), labels, dataset.digest, trainerDigest, optionsDigest]);
  if (described(other) !== described(JSON.parse(bytes.toString('utf8')) as ModelManifest))
    throw failure('Fenced', `${key} describes another model: an older attempt of this run has written it`);
  return { ref: { ...put.ref, sha256: sha256Hex(stored), bytes: stored.byteLength }, bytes: stored.byteLength };
}
