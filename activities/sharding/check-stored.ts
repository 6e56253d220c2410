import type { ModelManifest } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import { CorruptObject, type ObjectStore } from '../../store/object-store.ts';
import { notStored } from './not-stored.ts';

/**
 * The last look before a version exists: its manifest reads back with its digest, and every shard and file that it names is there in full size.
 * Throws CorruptObject that names the object. Nothing is read but the manifest: readers verify what they read.
 */
export async function checkStored(store: ObjectStore, manifest: ObjectRef): Promise<void> {
  const { shards, files } = JSON.parse(Buffer.from(await store.read(manifest)).toString('utf8')) as ModelManifest;
  const wrong = await notStored(store, [...shards, ...files]);
  if (wrong === null) return;
  const { key, bytes, size } = wrong;
  throw new CorruptObject(`${key} ${size === null ? 'is not in the store' : `has ${size} bytes, not ${bytes}`}: nothing was published`);
}
