import type { CustomizationKey, RunKey } from '../core/ids.ts';

/** Where everything lies in the bucket. Content-addressed keys carry the SHA-256 of their bytes. */
const customization = ({ tenantId, customizationId }: CustomizationKey): string => `tenants/${tenantId}/${customizationId}`;

export const datasetBucketKey = (key: CustomizationKey, sha256: string): string =>
  `${customization(key)}/datasets/buckets/${sha256}.jsonl.zst`;
export const datasetManifestKey = (key: CustomizationKey, sha256: string): string =>
  `${customization(key)}/datasets/manifests/${sha256}.json`;
/** Kept when what a run staged is removed. */
export const gateDetailsKey = (key: CustomizationKey, sha256: string): string => `${customization(key)}/gates/${sha256}.json`;
export const runPrefix = (key: RunKey): string => `${customization(key)}/runs/${key.run}/`;
export const stagingKey = (key: RunKey, attempt: number, file: string): string => `${runPrefix(key)}${attempt}/${file}`;
export const tenantShardKey = (tenantId: string, sha256: string): string => `tenants/${tenantId}/shards/${sha256}.safetensors`;
export const tenantFileKey = (tenantId: string, sha256: string): string => `tenants/${tenantId}/files/${sha256}`;
export const baseShardKey = (sha256: string): string => `base/shards/${sha256}.safetensors`;
export const baseFileKey = (sha256: string): string => `base/files/${sha256}`;
export const baseManifestKey = (sha256: string): string => `base/manifests/${sha256}.json`;
/** One for every attempt: what an older attempt has written stands in no later one's way. */
export const modelManifestKey = (key: RunKey & { readonly attempt: number }, version: number): string =>
  `${customization(key)}/models/v${version}-${key.run}.${key.attempt}/manifest.json`;

/** Kept embeddings of customizations whose jobs have no lasting disk: under one prefix, so that those of deleted ones are found. */
export const keptPrefix = 'kept/';
export const keptEmbeddingsKey = ({ tenantId, customizationId }: CustomizationKey): string =>
  `${keptPrefix}${tenantId}/${customizationId}/embeddings`;

/** Everything of one tenant. */
export const tenantPrefix = (tenantId: string): string => `tenants/${tenantId}/`;
export const keptTenantPrefix = (tenantId: string): string => `${keptPrefix}${tenantId}/`;
export const basePrefix = 'base/';
/** Objects that are stored to see what time the store has. */
export const carePrefix = 'care/';
export const clockKey = (id: string): string => `${carePrefix}clock-${id}`;

/** The digest that the key of a content-addressed object carries; null for other keys. */
export const digestOfKey = (key: string): string | null => /\/([0-9a-f]{64})(?:\.[a-z.]+)?$/.exec(key)?.[1] ?? null;
