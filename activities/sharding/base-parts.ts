import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { BaseManifestRef, ModelFile } from '../../core/model.ts';
import { largestBaseManifest, packBaseManifest } from '../../store/base-manifest.ts';
import { sha256OfFile } from '../../store/encoder-folder.ts';
import { baseFileKey, baseShardKey } from '../../store/keys.ts';
import { type ObjectStore, ObjectTooLarge, type PutResult } from '../../store/object-store.ts';
import type { BaseModel } from '../training/base-model.ts';
import { notStored } from './not-stored.ts';
import { isSeen, noteSeen } from './seen-bases.ts';
import { type Beat, type SharderOptions, type StoredTensors, storeTensors } from './store-tensors.ts';
import { fileSource, streamOf } from './tensor-source.ts';

const weights = 'model.safetensors';
const aboutBase = 'modelwright.json';
const roles: Readonly<Record<string, ModelFile['role']>> = {
  'tokenizer.json': 'tokenizer',
  'encoder.onnx': 'encoder-onnx',
  'decoder.onnx': 'decoder-onnx',
  [aboutBase]: 'encoder-info',
};

/** `manifest`: where it says all this. */
export type BaseParts = StoredTensors & { readonly files: readonly ModelFile[]; readonly manifest: BaseManifestRef };

/** `mark`: of the base scope, by whoever holds a lease of it. Without it the store is asked for every part, whatever was there a moment ago. */
type Options = Pick<SharderOptions, 'shardBytes'> & { readonly mark?: string };

/** What this process has stored: a version of a few bytes must not cost the reading of gigabytes that have not changed. */
const known = new Map<string, BaseParts>();

/**
 * The base model in the store: once for all tenants, its manifest last. What is there already is not sent again, what this process knows to have been there not
 * read again, and what it has seen there since the last collection not asked for.
 */
export async function storeBase(store: ObjectStore, base: BaseModel, beat: Beat, options: Options = {}): Promise<BaseParts> {
  const name = `${store.bucket} ${base.digest} ${base.folder} ${options.shardBytes ?? ''}`;
  const before = known.get(name);
  const { mark } = options;
  if (before && mark !== undefined && isSeen(store, before.manifest, mark)) return { ...before, created: 0 };
  const isThere = before && (await notStored(store, [...before.shards, ...before.files, before.manifest], beat)) === null;
  const parts = isThere ? { ...before, created: 0 } : await storeAll(store, base, beat, options);
  known.set(name, parts);
  if (mark !== undefined) noteSeen(store, parts.manifest, mark);
  return parts;
}

async function storeAll(store: ObjectStore, base: BaseModel, beat: Beat, options: Options): Promise<BaseParts> {
  const tensors = await storeTensors(store, join(base.folder, weights), 'base', baseShardKey, beat, options);
  const stored: ModelFile[] = [];
  let { created } = tensors;
  for (const [file, sha256] of Object.entries(await baseFileDigests(base))) {
    if (file === weights) continue;
    const { ref, created: isNew } = await storeBaseFile(store, join(base.folder, file), sha256, beat);
    if (isNew) created += ref.bytes;
    stored.push({ path: file, role: roles[file] ?? 'config', sha256: ref.sha256, bytes: ref.bytes, key: ref.key, scope: 'base' });
  }
  const { ref, bytes } = packBaseManifest({ name: base.name, ...tensors, files: stored });
  if (bytes.byteLength > largestBaseManifest)
    throw new ObjectTooLarge(
      `the manifest of ${base.name} has ${bytes.byteLength} bytes, more than the ${largestBaseManifest} that readers take`,
    );
  if ((await store.putContent(ref.key, bytes, ref.sha256)).created) created += ref.bytes;
  return { ...tensors, created, files: stored, manifest: ref };
}

/** SHA-256 of every file of a base model by its name, also of the one that names the others. */
export const baseFileDigests = async ({
  folder,
  sha256,
}: Pick<BaseModel, 'folder' | 'sha256'>): Promise<Readonly<Record<string, string>>> => ({
  ...sha256,
  [aboutBase]: await sha256OfFile(join(folder, aboutBase)),
});

/** A file of a base model in the store, once for all tenants, whatever its size: it is never in memory as a whole. */
export async function storeBaseFile(store: ObjectStore, path: string, sha256: string, beat: Beat): Promise<PutResult> {
  const source = await fileSource(path);
  const open = (): Promise<Readable> => Promise.resolve(streamOf(source, () => beat()));
  return await store.putContentStream(baseFileKey(sha256), { bytes: source.bytes, sha256, open });
}
