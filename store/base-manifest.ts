import { z } from 'zod';
import { canonicalJsonOf } from '../core/json.ts';
import type { BaseManifest, BaseManifestRef } from '../core/model.ts';
import { sha256Hex } from '../platform/hash.ts';
import { baseFileKey, baseManifestKey, baseShardKey } from './keys.ts';
import { CorruptObject } from './object-store.ts';

/** A manifest of a base model is held in memory as a whole: some 300 bytes a tensor. */
export const largestBaseManifest = 128 * 1024 * 1024;

/** Its name in a pulled folder, beside `manifest.json`: versions on other base models have another. */
export const baseManifestFile = ({ sha256 }: Pick<BaseManifestRef, 'sha256'>): string => `base-${sha256}.json`;

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().nonnegative();
const shared = z.object({ sha256: digest, bytes: size, key: z.string(), scope: z.literal('base') });
const schema = z.object({
  format: z.literal('modelwright-base/1'),
  name: z.string(),
  tensors: z.record(
    z.string(),
    z.object({ shard: digest, dtype: z.string(), shape: z.array(size), bytes: size, offset: size, sha256: digest }),
  ),
  shards: z.array(shared),
  files: z.array(
    shared.extend({
      path: z.string(),
      role: z.enum(['config', 'tokenizer', 'encoder-onnx', 'decoder-onnx', 'labels', 'encoder-info', 'answering']),
    }),
  ),
});

/** The manifest of a base model as it is stored, and where: equal base models give equal bytes. */
export function packBaseManifest({ name, tensors, shards, files }: Omit<BaseManifest, 'format'>): {
  readonly ref: BaseManifestRef;
  readonly bytes: Buffer;
} {
  const manifest: BaseManifest = { format: 'modelwright-base/1', name, tensors, shards, files };
  const bytes = Buffer.from(canonicalJsonOf(manifest), 'utf8');
  const sha256 = sha256Hex(bytes);
  return { ref: { key: baseManifestKey(sha256), sha256, bytes: bytes.byteLength }, bytes };
}

/** Throws CorruptObject for a reference that leads to no manifest of a base model. Before anything is fetched. */
export function checkBaseManifestRef({ key, sha256, bytes }: BaseManifestRef): void {
  if (!digest.safeParse(sha256).success || key !== baseManifestKey(sha256))
    throw new CorruptObject(`${key} is not where the manifest of a base model lies`);
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > largestBaseManifest)
    throw new CorruptObject(`${key} would have ${bytes} bytes: no manifest of a base model has more than ${largestBaseManifest}`);
}

/** What was read from there. Throws CorruptObject where it is not what the reference names, or not a manifest of the base model of that name. */
export function parseBaseManifest(bytes: Uint8Array, { key, sha256, bytes: expected }: BaseManifestRef, name: string): BaseManifest {
  if (bytes.byteLength !== expected || sha256Hex(bytes) !== sha256)
    throw new CorruptObject(`${key} does not have the SHA-256 ${sha256} that its reference names`);
  const parsed = schema.safeParse(jsonOf(bytes));
  if (!parsed.success) throw new CorruptObject(`${key} is not the manifest of a base model: ${z.prettifyError(parsed.error)}`);
  const manifest = parsed.data;
  if (manifest.name !== name) throw new CorruptObject(`${key} is the manifest of the base model ${manifest.name}, not of ${name}`);
  const astray = [
    ...manifest.shards.filter((shard) => shard.key !== baseShardKey(shard.sha256)),
    ...manifest.files.filter((file) => file.key !== baseFileKey(file.sha256)),
  ][0];
  if (astray) throw new CorruptObject(`${key} names ${astray.key}, which is not where parts of base models lie`);
  return manifest;
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return null;
  }
}
