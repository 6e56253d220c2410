import { type FileHandle, open } from 'node:fs/promises';
import type { ModelManifest, ModelShard, StoreScope } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { readHeader } from '../../store/safetensors-file.ts';
import { buildHeader } from '../../store/safetensors.ts';
import { planShards } from './shard-plan.ts';

export type StoredTensors = {
  readonly tensors: ModelManifest['tensors'];
  readonly shards: readonly ModelShard[];
  /** Bytes that were not in the store before. */
  readonly created: number;
};

/** Cuts a safetensors file into shards, each a safetensors file named by its SHA-256, and stores those that are new. Holds one shard in memory. */
export async function storeTensors(
  store: ObjectStore,
  path: string,
  scope: StoreScope,
  keyOf: (sha256: string) => string,
  beat: () => void,
): Promise<StoredTensors> {
  const file = await open(path, 'r');
  try {
    const parsed = await readHeader(file);
    const ordered = [...parsed.tensors]
      .sort(([, a], [, b]) => a.begin - b.begin)
      .map(([name, { dtype, shape, begin, end }]) => ({ name, dtype, shape, bytes: end - begin, begin }));
    const tensors: Record<string, ModelManifest['tensors'][string]> = {};
    const shards: ModelShard[] = [];
    let created = 0;
    for (const group of planShards(ordered)) {
      beat();
      const header = buildHeader(group);
      const parts: Uint8Array[] = [header];
      for (const { begin, bytes } of group) parts.push(await readAt(file, parsed.dataStart + begin, bytes));
      const bytes = Buffer.concat(parts);
      const sha256 = sha256Hex(bytes);
      const put = await store.putContent(keyOf(sha256), bytes, sha256);
      if (put.created) created += bytes.byteLength;
      shards.push({ sha256, bytes: bytes.byteLength, key: put.ref.key, scope });
      for (const { name, dtype, shape, bytes: length } of group) tensors[name] = { shard: sha256, dtype, shape, bytes: length };
    }
    return { tensors, shards, created };
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  if (bytesRead !== length) throw new Error(`the file ends at ${position + bytesRead}, ${length - bytesRead} bytes too early`);
  return buffer;
}
