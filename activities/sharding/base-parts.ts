import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelFile } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { baseFileKey, baseShardKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { BaseModel } from '../training/base-model.ts';
import { type StoredTensors, storeTensors } from './store-tensors.ts';

const files = [
  { path: 'config.json', role: 'config' },
  { path: 'tokenizer.json', role: 'tokenizer' },
  { path: 'encoder.onnx', role: 'encoder-onnx' },
  { path: 'modelwright.json', role: 'encoder-info' },
] as const;

export type BaseParts = StoredTensors & { readonly files: readonly ModelFile[] };

/** The base encoder in the store: once for all tenants. What is there already is not sent again. */
export async function storeBase(store: ObjectStore, base: BaseModel, beat: () => void): Promise<BaseParts> {
  const tensors = await storeTensors(store, join(base.folder, 'model.safetensors'), 'base', baseShardKey, beat);
  const stored: ModelFile[] = [];
  let { created } = tensors;
  for (const { path, role } of files) {
    beat();
    const bytes = await readFile(join(base.folder, path));
    const sha256 = sha256Hex(bytes);
    const put = await store.putContent(baseFileKey(sha256), bytes, sha256);
    if (put.created) created += bytes.byteLength;
    stored.push({ path, role, sha256, bytes: bytes.byteLength, key: put.ref.key, scope: 'base' });
  }
  return { ...tensors, created, files: stored };
}
