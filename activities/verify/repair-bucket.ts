import type { DatasetBucket } from '../../core/dataset.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { bucketBytes } from '../dataset/bucket-file.ts';
import type { ScannedBucket } from '../dataset/scan-bucket.ts';
import { sha256Hex } from '../../platform/hash.ts';

/**
 * Writes a damaged bucket anew from the table, whose rows have the very digest that the manifest demands. False where another library version
 * packs them into other bytes: the manifest names the bytes, so that nothing else may lie there. Key: the object's key.
 */
export async function repairBucket(store: ObjectStore, known: DatasetBucket, scanned: ScannedBucket): Promise<boolean> {
  const bytes = await bucketBytes(scanned);
  if (sha256Hex(bytes) !== known.ref.sha256) return false;
  await store.delete([known.ref.key]);
  await store.putContent(known.ref.key, bytes, known.ref.sha256);
  return true;
}
