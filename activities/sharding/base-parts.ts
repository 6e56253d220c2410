import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelFile } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { baseFileKey, baseShardKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { BaseModel } from '../training/base-model.ts';
import { type StoredTensors, storeTensors } from './store-tensors.ts';

const roles: Readonly<Record<string, ModelFile['role']>> = {
  'tokenizer.json': 'tokenizer',
  'encoder.onnx': 'encoder-onnx',
  'decoder.onnx': 'decoder-onnx',
  'modelwright.json': 'encoder-info',
};
const weights = 'model.safetensors';

export type BaseParts = StoredTensors & { readonly files: readonly ModelFile[] };

/** The base model in the store: once for all tenants. What is there already is not sent again. */
export async function storeBase(store: ObjectStore, base: BaseModel, beat: () => void): Promise<BaseParts> {
  const tensors = await storeTensors(store, join(base.folder, weights), 'base', baseShardKey, beat);
  const stored: ModelFile[] = [];
  let { created } = tensors;
  const paths = [...Object.keys(base.sha256).filter((path) => path !== weights), 'modelwright.json'];
  for (const path of paths) {
    beat();
    const bytes = await readFile(join(base.folder, path));
    const sha256 = sha256Hex(bytes);
    const put = await store.putContent(baseFileKey(sha256), bytes, sha256);
    if (put.created) created += bytes.byteLength;
    stored.push({ path, role: roles[path] ?? 'config', sha256, bytes: bytes.byteLength, key: put.ref.key, scope: 'base' });
  }
  return { ...tensors, created, files: stored };
}
