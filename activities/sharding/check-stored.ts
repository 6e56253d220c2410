import type { ObjectRef } from '../../core/object-ref.ts';
import { parseStoredManifest, wholeManifest } from '../../store/model-manifest.ts';
import { CorruptObject, type ObjectStore } from '../../store/object-store.ts';
import { notStored } from './not-stored.ts';
import { isSeen } from './seen-bases.ts';

/**
 * The last look before a version exists: its manifest reads back with its digest, and every shard and file that it names is there in full size.
 * What this process has seen of the base model since the last collection is not asked for again: `mark`, of the base scope, is read while the run has its lease.
 * Throws CorruptObject that names the object. Nothing is read but manifests: readers verify what they read.
 */
export async function checkStored(store: ObjectStore, manifest: ObjectRef, mark: string): Promise<void> {
  const stored = parseStoredManifest(await store.read(manifest), manifest.key);
  const { shards, files } =
    stored.base && isSeen(store, stored.base, mark) ? stored : await wholeManifest((ref) => store.read(ref), stored);
  const wrong = await notStored(store, [...shards, ...files]);
  if (wrong === null) return;
  const { key, bytes, size } = wrong;
  throw new CorruptObject(`${key} ${size === null ? 'is not in the store' : `has ${size} bytes, not ${bytes}`}: nothing was published`);
}
