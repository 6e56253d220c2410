import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { storeBase } from '../../activities/sharding/base-parts.ts';
import { KnownTensors } from '../../activities/sharding/known-tensors.ts';
import { storeTensors } from '../../activities/sharding/store-tensors.ts';
import { loadBaseModel } from '../../activities/training/base-model.ts';
import { type ApiClient, createApiClient } from '../../cli/api-client.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { canonicalJsonOf } from '../../core/json.ts';
import type { StoredManifest } from '../../core/model.ts';
import { signerOf } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool } from '../../platform/mysql.ts';
import { modelManifestKey, tenantFileKey, tenantShardKey } from '../../store/keys.ts';
import { withBase, withoutBase } from '../../store/model-manifest.ts';
import { signManifest } from '../../store/model-signature.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { buildHeader } from '../../store/safetensors.ts';
import type { TestStack } from './engines.ts';

/** A head as a training leaves it: one row of weights and one bias a label. */
export type Head = { readonly labels: readonly string[]; readonly weights: Float32Array; readonly biases: Float32Array };

export type Sign = (manifest: Omit<StoredManifest, 'signature'>) => StoredManifest;
/** Which format versions have: before 3, the manifest itself names what they have from the base. */
type Form = 2 | 3;

/** Made as its operator and it would: a tenant with a customization. Its dataset 1 is nothing but a row, for heads to be of. Returns the tenant's key. */
export async function tenantForHeads(
  operator: ApiClient,
  pool: Pool,
  { tenantId, customizationId }: CustomizationKey,
  placement?: string | null,
): Promise<string> {
  const { key } = await operator.call<{ key: string }>('POST', '/v1/tenants', { id: tenantId, name: tenantId, placement });
  const api = createApiClient(operator.url, key);
  await api.call('POST', '/v1/customizations', { id: customizationId, name: customizationId, businessModel: 'text-classification' });
  await pool.query(
    `INSERT INTO modelwright_control.datasets (tenant_id, customization_id, number, run_number, digest, cut, row_count, manifest_key, manifest_sha256, manifest_bytes)
     VALUES (?, ?, 1, 1, '', '', 1, 'none', '', 0)`,
    [tenantId, customizationId],
  );
  return key;
}

/** Numbers between -1 and 1; equal seeds give equal ones. */
export function drawnNumbers(seed: number, count: number): Float32Array {
  let state = (seed * 7_919 + 1) % 2_147_483_647;
  return Float32Array.from({ length: count }, () => (state = (state * 48_271) % 2_147_483_647) / 1_073_741_824 - 1);
}

/** Publishes text classifications on one shared encoder through the real store and registry, without a training before. */
export async function headPublisher(
  { config, home }: TestStack,
  pool: Pool,
  store: ObjectStore,
): Promise<{
  readonly dim: number;
  /** `sign`: what is stored instead of the manifest with this installation's signature. */
  readonly publish: (key: CustomizationKey & { readonly version: number }, head: Head, sign?: Sign, form?: Form) => Promise<void>;
}> {
  const base = await loadBaseModel(config.paths.modelsDir, 'all-MiniLM-L6-v2');
  const beat = (): void => undefined;
  const shared = await storeBase(store, base, beat);
  const { dim, maxTokens, prefix, name } = base;

  const publish = async (
    key: CustomizationKey & { readonly version: number },
    { labels, weights, biases }: Head,
    sign: Sign = (manifest) => signManifest(manifest, signerOf(config)),
    form: Form = 3,
  ): Promise<void> => {
    const { tenantId, customizationId, version } = key;
    const parts = [
      { name: 'classifier.weight', shape: [labels.length, dim], data: weights },
      { name: 'classifier.bias', shape: [labels.length], data: biases },
    ];
    const header = buildHeader(parts.map(({ data, ...rest }) => ({ ...rest, dtype: 'F32', bytes: data.byteLength })));
    const bytes = Buffer.concat([header, ...parts.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))]);
    const weightsFile = join(home, `head-${tenantId}-${version}`);
    await writeFile(weightsFile, bytes);
    const own = await storeTensors(store, weightsFile, 'tenant', (sha256) => tenantShardKey(tenantId, sha256), beat);
    const answering = Buffer.from(JSON.stringify({ labels }));
    const sha256 = sha256Hex(answering);
    const { ref } = await store.putContent(tenantFileKey(tenantId, sha256), answering, sha256);
    const label = { precision: 1, recall: 1, f1: 1, support: 10 };
    const verdict = {
      verdict: 'promote',
      explanation: 'published by hand',
      metric: 'accuracy',
      candidate: 1,
      current: null,
      currentVersion: null,
      pairedP: null,
      testRows: 100,
      changedPredictions: 0,
      labels: Object.fromEntries(labels.map((one) => [one, { candidate: 1, current: null, support: 10 }])),
    } as const;
    const metrics = {
      metric: 'accuracy',
      unit: 'share',
      values: { accuracy: 1 },
      rows: { train: 1_000, evaluation: 100 },
      perLabel: Object.fromEntries(labels.map((one) => [one, label])),
    } as const;
    const digest = sha256Hex(`${tenantId} ${version}`);
    const tensors = { ...shared.tensors, ...own.tensors };
    const shards = new KnownTensors(shared, null, new Set(Object.keys(own.tensors))).shardsOf(tensors, own.shards);
    const files = [
      { path: 'answering.json', role: 'answering', sha256, bytes: answering.byteLength, key: ref.key, scope: 'tenant' } as const,
    ];
    const ownParts = withoutBase({ tensors, shards, files }, shared);
    const manifest: Omit<StoredManifest, 'signature'> = {
      format: `modelwright-model/${form}`,
      tenantId,
      customizationId,
      version,
      run: version,
      businessModel: { id: 'text-classification', version: '1.0.0' },
      dataset: { number: version, digest, rows: 1_100, cut: '' },
      options: {},
      optionsDigest: digest,
      trainerDigest: digest,
      parent: null,
      labels,
      encoder: { name, dim, maxTokens, prefix },
      ...(form === 3 ? { base: shared.manifest, ...ownParts } : withBase(ownParts, shared)),
      metrics,
      verdict,
      createdAt: new Date(0).toISOString(),
    };
    const put = await store.putNew(
      modelManifestKey({ ...key, run: version, attempt: 1 }, version),
      Buffer.from(canonicalJsonOf(sign(manifest))),
    );
    await pool.query('INSERT INTO modelwright_control.model_versions SET ?', {
      tenant_id: tenantId,
      customization_id: customizationId,
      version,
      run_number: version,
      attempt: 1,
      dataset_number: version,
      parent: null,
      manifest_key: put.ref.key,
      manifest_sha256: put.ref.sha256,
      manifest_bytes: put.ref.bytes,
      bytes: bytes.byteLength,
      stored_bytes: bytes.byteLength,
      metrics: JSON.stringify(metrics),
      verdict: JSON.stringify(verdict),
    });
  };
  return { dim, publish };
}
