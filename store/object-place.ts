import type { StoredKind } from '../core/store-care.ts';

export type ObjectPart = 'bucket' | 'dataset' | 'gate' | 'manifest' | 'staging' | 'shard' | 'file' | 'embeddings' | 'base' | 'clock';

/** What a key says of its object: `store/keys.ts` read backwards. */
export type ObjectPlace = {
  readonly part: ObjectPart;
  readonly kind: StoredKind;
  readonly tenantId: string | null;
  readonly customizationId: string | null;
  /** Of staged objects, and of manifests of versions: the run that wrote it. */
  readonly run: number | null;
};

const id = '([a-z0-9][a-z0-9-]*)';
const digest = '[0-9a-f]{64}';
const customization = `^tenants/${id}/${id}`;
/** Exact: a customization may have the name `shards` or `files`. */
const patterns: readonly (readonly [part: ObjectPart, kind: StoredKind, pattern: RegExp])[] = [
  ['bucket', 'datasets', new RegExp(`${customization}/datasets/buckets/${digest}\\.jsonl\\.zst$`)],
  ['dataset', 'datasets', new RegExp(`${customization}/datasets/manifests/${digest}\\.json$`)],
  ['gate', 'models', new RegExp(`${customization}/gates/${digest}\\.json$`)],
  ['manifest', 'models', new RegExp(`${customization}/models/v[0-9]+-([0-9]+)(?:\\.[0-9]+)?/manifest\\.json$`)],
  ['staging', 'staging', new RegExp(`${customization}/runs/([0-9]+)/.+$`)],
  ['shard', 'models', new RegExp(`^tenants/${id}/shards/${digest}\\.safetensors$`)],
  ['file', 'models', new RegExp(`^tenants/${id}/files/${digest}$`)],
  ['embeddings', 'staging', new RegExp(`^kept/${id}/${id}/embeddings$`)],
  ['base', 'base', new RegExp(`^base/(?:shards/${digest}\\.safetensors|files/${digest}|manifests/${digest}\\.json)$`)],
  ['clock', 'base', /^care\/clock-[0-9a-f-]+$/],
];

/** Null for a key that is none of ours: nobody here may remove it. */
export function placeOf(key: string): ObjectPlace | null {
  for (const [part, kind, pattern] of patterns) {
    const [found, tenantId = null, customizationId = null, run = null] = pattern.exec(key) ?? [];
    if (found !== undefined) return { part, kind, tenantId, customizationId, run: run === null ? null : Number(run) };
  }
  return null;
}
