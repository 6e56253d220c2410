import { createControlActivities } from '../../activities/registry/control-activities.ts';
import { defaultShardBytes } from '../../activities/sharding/store-tensors.ts';
import { createShardingActivities } from '../../activities/sharding/sharding-activities.ts';
import type { ShardingActivities } from '../../activities/ports.ts';
import { loadCatalog } from '../../catalog/catalog.ts';
import type { AliasesAfter } from '../../core/tenant-messages.ts';
import type { CustomizationKey, RunKey } from '../../core/ids.ts';
import type { GateVerdict, TrainingMetrics } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool } from '../../platform/mysql.ts';
import { parseSigner, signingKeys } from '../../platform/signing-keys.ts';
import type { Trust } from '../../store/model-signature.ts';
import { stagingKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { buildHeader } from '../../store/safetensors.ts';

/** Every publisher signs with it, whichever process it is in. */
const signer = parseSigner(Buffer.alloc(32, 7).toString('base64'));
export const publishersTrust: Trust = { trusted: signingKeys(signer, []).trusted, unsigned: 'refuse' };
const digest = sha256Hex('publish');
/** Figures of as many digits as trainings have. */
const figure = (i: number): number => (i + 1) / (i + 7);
const metricsOf = (names: readonly string[]): TrainingMetrics => ({
  metric: 'accuracy',
  unit: 'share',
  values: { accuracy: 1 },
  rows: { train: 8, evaluation: 2 },
  perLabel: Object.fromEntries(
    names.map((name, i) => [name, { precision: figure(i), recall: figure(i + 1), f1: figure(i + 2), support: 2 }]),
  ),
});
const verdictOf = (names: readonly string[]): GateVerdict => ({
  verdict: 'promote',
  explanation: 'better',
  metric: 'accuracy',
  candidate: 1,
  current: null,
  currentVersion: null,
  pairedP: null,
  testRows: 2,
  changedPredictions: 0,
  labels: Object.fromEntries(names.map((name, i) => [name, { candidate: figure(i), current: figure(i + 1), support: 2 }])),
});

/** What a training leaves, so small that thousands can be published. The first weight tells of which run and attempt it is. */
export const markOf = ({ run, attempt }: { readonly run: number; readonly attempt: number }): number => run + attempt / 64;

type Attempt = RunKey & { readonly attempt: number };
/** Everything that publishing an attempt of a run needs to know. */
export type PublishInput = Parameters<ShardingActivities['shardModel']>[0];

export async function makeCustomization(
  pool: Pool,
  { tenantId, customizationId }: CustomizationKey,
  businessModel = 'text-classification',
): Promise<void> {
  await pool.query('INSERT IGNORE INTO modelwright_control.tenants (tenant_id, name, quotas) VALUES (?, ?, ?)', [tenantId, tenantId, '{}']);
  await pool.query(
    `INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt)
     VALUES (?, ?, 'C', ?, '{}', '{}', ?)`,
    [tenantId, customizationId, businessModel, 'a'.repeat(32)],
  );
}

/** A run that has trained and been judged. */
export async function makeRun(pool: Pool, { tenantId, customizationId, run }: RunKey): Promise<void> {
  await pool.query(
    `INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind, attempt)
     VALUES (?, ?, ?, ?, 'publishing', 'changes', 1)`,
    [tenantId, customizationId, run, `run ${run}`],
  );
}

/** Weights as a training leaves them, and the base model that they stand on; null: the one that is chosen where a dataset says nothing. */
export type Left = {
  readonly weights: Buffer;
  readonly baseModel: { readonly name: string; readonly digest: string } | null;
  readonly labels: readonly string[];
};

function markedHead(key: Attempt): Left {
  const weight = new Float32Array(8).fill(0.5);
  weight[0] = markOf(key);
  const bias = new Float32Array(2);
  const header = buildHeader([
    { name: 'classifier.weight', dtype: 'F32', shape: [2, 4], bytes: weight.byteLength },
    { name: 'classifier.bias', dtype: 'F32', shape: [2], bytes: bias.byteLength },
  ]);
  return { weights: Buffer.concat([header, Buffer.from(weight.buffer), Buffer.from(bias.buffer)]), baseModel: null, labels: ['a', 'b'] };
}

/** Puts what the training of an attempt left where the sharding looks for it. */
export async function stage(
  store: ObjectStore,
  key: Attempt,
  { weights, baseModel, labels }: Left = markedHead(key),
): Promise<PublishInput> {
  const put = async (objectKey: string, bytes: Buffer) => (await store.putContent(objectKey, bytes, sha256Hex(bytes))).ref;
  const dataset = { format: 'modelwright-dataset/1', digest, buckets: [], rows: 10, ...(baseModel ? { baseModel } : {}) };
  const manifest = Buffer.from(JSON.stringify(dataset));
  return {
    ...key,
    dataset: {
      number: 1,
      digest,
      rows: 10,
      cut: '',
      manifest: await put(`datasets/${sha256Hex(manifest)}`, manifest),
      bucketsRead: 0,
      bucketsReused: 0,
    },
    training: {
      jobName: 'job',
      trainerDigest: digest,
      optionsDigest: digest,
      files: {
        'result.json': await put(stagingKey(key, key.attempt, 'result.json'), Buffer.from(JSON.stringify({ labels, maxTokens: 16 }))),
        'model.safetensors': await put(stagingKey(key, key.attempt, 'model.safetensors'), weights),
      },
      metrics: metricsOf(labels),
      labels: labels.length,
      encoder: 'base',
      trainingMs: 1,
    },
    verdict: verdictOf(labels),
  };
}

export type Publisher = {
  /** Shards, publishes and promotes as the workflow of a run does it. */
  publish(input: PublishInput, between?: () => Promise<void>): Promise<{ readonly version: number; readonly aliases: AliasesAfter }>;
};

export async function createPublisher(modelsDir: string): Promise<(pool: Pool, store: ObjectStore) => Publisher> {
  const catalog = await loadCatalog();
  return (pool, store) => {
    const beat = (): void => undefined;
    const predictor = { warm: () => Promise.resolve(), predict: () => Promise.reject(new Error('nobody asks here')) } as never;
    const shards = createShardingActivities({ pool, store, catalog, modelsDir, predictor, signer, shardBytes: defaultShardBytes, beat });
    const control = createControlActivities({ pool, catalog });
    return {
      publish: async (input, between) => {
        const { tenantId, customizationId, run, attempt, dataset, training, verdict } = input;
        const sharded = await shards.shardModel(input);
        await between?.();
        const { version } = await shards.publishModel({
          tenantId,
          customizationId,
          run,
          attempt,
          dataset,
          sharded,
          metrics: training.metrics,
          verdict,
        });
        const aliases = await control.promoteModel({
          tenantId,
          customizationId,
          version,
          requestKey: `run/${run}`,
          actor: 'gate',
          reason: null,
          force: false,
          fence: { run, attempt },
        });
        return { version, aliases };
      },
    };
  };
}
