import { bucketBytes } from '../../activities/dataset/bucket-file.ts';
import { registerDataset } from '../../activities/dataset/dataset-registry.ts';
import { openRun, recordRun } from '../../activities/registry/runs.ts';
import { publishModel } from '../../activities/sharding/publish-model.ts';
import type { ShardedModel } from '../../activities/ports.ts';
import type { DatasetManifest, DatasetRef, DatasetRow } from '../../core/dataset.ts';
import type { CustomizationKey, RunKey } from '../../core/ids.ts';
import type { GateVerdict, ModelManifest, ModelShard, TrainingMetrics } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import type { TenantQuotas } from '../../core/quotas.ts';
import type { RunState } from '../../core/run.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool } from '../../platform/mysql.ts';
import {
  baseShardKey,
  datasetBucketKey,
  datasetManifestKey,
  gateDetailsKey,
  modelManifestKey,
  stagingKey,
  tenantFileKey,
  tenantShardKey,
} from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';

const metrics: TrainingMetrics = { metric: 'f1', unit: 'share', values: { f1: 1 }, rows: { train: 1, evaluation: 1 }, perLabel: {} };
const cut = '3e11fa47-71ca-11e1-9e33-c80aa9429562:1';

/** What a version is made of: texts stand for tensors and rows. Equal texts are equal objects. */
export type Content = {
  readonly shards?: readonly string[];
  readonly files?: readonly string[];
  readonly base?: readonly (string | Buffer)[];
  readonly rows?: readonly string[];
  /** Instead of rows that texts stand for: real ones, in one bucket as the product writes it. */
  readonly examples?: readonly DatasetRow[];
};

/** A tenant with one customization. */
export async function newTenant(pool: Pool, tenantId: string, quotas: TenantQuotas = {}, customizationId = 'c'): Promise<CustomizationKey> {
  await pool.query('INSERT IGNORE INTO modelwright_control.tenants (tenant_id, name, quotas) VALUES (?, ?, ?)', [
    tenantId,
    tenantId,
    JSON.stringify(quotas),
  ]);
  await pool.query(
    "INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt) VALUES (?, ?, 'C', 'text-classification', '{}', '{}', ?)",
    [tenantId, customizationId, 'a'.repeat(32)],
  );
  return { tenantId, customizationId };
}

/** The steps of a run through the real registry and store, without a training: a test goes as far as it wants. */
export class StoredRun {
  readonly key: RunKey;
  readonly #pool: Pool;
  readonly #store: ObjectStore;
  #dataset: DatasetRef | null = null;
  #sharded: ShardedModel | null = null;
  #verdict: GateVerdict | null = null;

  private constructor(pool: Pool, store: ObjectStore, key: RunKey) {
    this.#pool = pool;
    this.#store = store;
    this.key = key;
  }

  static async open(pool: Pool, store: ObjectStore, key: CustomizationKey): Promise<StoredRun> {
    const requestKey = `${Math.random()}`;
    const { run } = await openRun(pool, { ...key, requestKey, trigger: 'changes', reason: null });
    return new StoredRun(pool, store, { ...key, run });
  }

  async state(state: RunState): Promise<void> {
    await recordRun(this.#pool, { ...this.key, state, ...(this.#verdict ? { verdict: this.#verdict } : {}) });
  }

  async #put(key: string, text: string | Buffer): Promise<ObjectRef> {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    return (await this.#store.putContent(key, bytes, sha256Hex(bytes))).ref;
  }

  /** Builds its dataset; also leaves something in staging. */
  async dataset(rows: readonly (string | Buffer)[]): Promise<void> {
    const { key } = this;
    const none = { rows: 1, digest: '', labels: {} };
    const refs = await Promise.all(rows.map((row) => this.#put(datasetBucketKey(key, sha256Hex(row)), row)));
    const manifest = {
      format: 'modelwright-dataset/1',
      number: key.run,
      parent: null,
      cut,
      rows: rows.length,
      digest: sha256Hex(rows.map((row) => sha256Hex(row)).join()),
      bucketCount: rows.length,
      buckets: refs.map((ref, index) => ({ index, ref, ...none })),
    } as unknown as DatasetManifest;
    const text = JSON.stringify(manifest);
    const ref = await this.#put(datasetManifestKey(key, sha256Hex(text)), text);
    await registerDataset(this.#pool, key, manifest, ref, null);
    const { number, digest } = manifest;
    this.#dataset = { number, digest, rows: rows.length, cut, manifest: ref, bucketsRead: 1, bucketsReused: 0 };
    await this.#put(stagingKey(key, 1, 'model.safetensors'), `staged by run ${key.run} of ${key.tenantId}`);
  }

  /** The same with real rows. */
  async examples(rows: readonly DatasetRow[]): Promise<void> {
    const bytes = await bucketBytes({ rows: rows.map((row) => ({ id: row.id, line: JSON.stringify(row), digest: Buffer.alloc(0) })) });
    await this.dataset([bytes]);
  }

  /** Stores everything of its version, the manifest last. */
  async shard({ shards = [], files = [], base = [] }: Content, store = this.#store): Promise<void> {
    const { key } = this;
    const details = JSON.stringify({ run: key.run, of: key });
    this.#verdict = {
      verdict: 'promote',
      explanation: '',
      metric: 'f1',
      candidate: 1,
      current: null,
      currentVersion: null,
      pairedP: null,
      testRows: 1,
      changedPredictions: 0,
      labels: {},
      details: await this.#put(gateDetailsKey(key, sha256Hex(details)), details),
    };
    const part = async (path: string, text: string | Buffer, scope: ModelShard['scope']): Promise<ModelShard> => {
      const bytes = typeof text === 'string' ? Buffer.from(text) : text;
      const sha256 = sha256Hex(bytes);
      await store.putContent(path, bytes, sha256);
      return { key: path, sha256, bytes: bytes.byteLength, scope };
    };
    const parts: ModelShard[] = [];
    for (const text of shards) parts.push(await part(tenantShardKey(key.tenantId, sha256Hex(text)), text, 'tenant'));
    for (const text of base) parts.push(await part(baseShardKey(sha256Hex(text)), text, 'base'));
    const stored: ModelManifest['files'][number][] = [];
    for (const text of files)
      stored.push({
        ...(await part(tenantFileKey(key.tenantId, sha256Hex(text)), text, 'tenant')),
        path: text.slice(0, 8),
        role: 'config',
      });
    const version = key.run;
    const manifest = JSON.stringify({
      format: 'modelwright-model/1',
      version,
      run: key.run,
      shards: parts,
      files: stored,
      verdict: this.#verdict,
    });
    const { ref } = await store.putNew(modelManifestKey({ ...key, attempt: 1 }, version), Buffer.from(manifest));
    const bytes = [...parts, ...stored].reduce((sum, one) => sum + one.bytes, 0);
    this.#sharded = { version, manifest: ref, bytes, storedBytes: bytes, parent: null };
  }

  async publish(): Promise<number> {
    if (!this.#dataset || !this.#sharded || !this.#verdict) throw new Error('a run publishes what it has stored');
    const { key } = this;
    const { version } = await publishModel(this.#pool, {
      ...key,
      attempt: 1,
      dataset: this.#dataset,
      sharded: this.#sharded,
      metrics,
      verdict: this.#verdict,
    });
    return version;
  }
}

/** A whole run; `production` points there afterwards, or nothing does. */
export async function publishVersion(
  pool: Pool,
  store: ObjectStore,
  key: CustomizationKey,
  content: Content,
  production = false,
): Promise<number> {
  const run = await StoredRun.open(pool, store, key);
  if (content.examples) await run.examples(content.examples);
  else await run.dataset(content.rows ?? [`row of run ${run.key.run}`]);
  await run.shard(content);
  const version = await run.publish();
  await run.state('succeeded');
  const id = [key.tenantId, key.customizationId];
  await pool.query("DELETE FROM modelwright_control.aliases WHERE tenant_id = ? AND customization_id = ? AND alias = 'candidate'", id);
  if (production)
    await pool.query("REPLACE INTO modelwright_control.aliases VALUES (?, ?, 'production', ?, UTC_TIMESTAMP(6))", [...id, version]);
  return version;
}

/** Everything that is stored, by key. */
export async function storedKeys(store: ObjectStore, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys.sort();
}
