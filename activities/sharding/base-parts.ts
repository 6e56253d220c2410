import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { ModelFile } from '../../core/model.ts';
import { sha256OfFile } from '../../store/encoder-folder.ts';
import { baseFileKey, baseShardKey } from '../../store/keys.ts';
import type { ObjectStore, PutResult } from '../../store/object-store.ts';
import type { BaseModel } from '../training/base-model.ts';
import { notStored } from './not-stored.ts';
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

export type BaseParts = StoredTensors & { readonly files: readonly ModelFile[] };

/** What this process has stored: a version of a few bytes must not cost the reading of gigabytes that have not changed. */
const known = new Map<string, BaseParts>();

/** The base model in the store: once for all tenants. What is there already is not sent again, and what this process knows to be there not read again. */
export async function storeBase(
  store: ObjectStore,
  base: BaseModel,
  beat: Beat,
  options: Pick<SharderOptions, 'shardBytes'> = {},
): Promise<BaseParts> {
  const name = `${store.bucket} ${base.digest} ${base.folder} ${options.shardBytes ?? ''}`;
  const before = known.get(name);
  if (before && (await notStored(store, [...before.shards, ...before.files], beat)) === null) return { ...before, created: 0 };
  const parts = await storeAll(store, base, beat, options);
  known.set(name, parts);
  return parts;
}

async function storeAll(store: ObjectStore, base: BaseModel, beat: Beat, options: Pick<SharderOptions, 'shardBytes'>): Promise<BaseParts> {
  const tensors = await storeTensors(store, join(base.folder, weights), 'base', baseShardKey, beat, options);
  const stored: ModelFile[] = [];
  let { created } = tensors;
  for (const [file, sha256] of Object.entries(await baseFileDigests(base))) {
    if (file === weights) continue;
    const { ref, created: isNew } = await storeBaseFile(store, join(base.folder, file), sha256, beat);
    if (isNew) created += ref.bytes;
    stored.push({ path: file, role: roles[file] ?? 'config', sha256: ref.sha256, bytes: ref.bytes, key: ref.key, scope: 'base' });
  }
  return { ...tensors, created, files: stored };
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
