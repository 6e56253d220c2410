import { DeleteObjectsCommand, type S3Client } from '@aws-sdk/client-s3';
import { ObjectsLocked, laterEnd } from './object-locks.ts';
import { StoreUnavailable } from './object-store.ts';
import { deniedOf } from './s3-answers.ts';
import { type Target, each, keepsVersions, lockOf, versionsOf } from './s3-locks.ts';

/** Keys in one DeleteObjects request. */
const deleteBatch = 1_000;

/** `bypass`: locked ones go too, where the credentials may do that. */
export type Removal = { readonly signal?: AbortSignal; readonly bypass?: boolean };

/**
 * Removes objects for good, with every version of theirs where the bucket keeps any. Throws ObjectsLocked, after all else is gone, where object lock holds
 * some, and StoreUnavailable where something else forbids it.
 */
export async function removeForGood(
  client: S3Client,
  bucket: string,
  keys: readonly string[],
  { signal, bypass = false }: Removal,
): Promise<void> {
  const targets: Target[] = [];
  if (await keepsVersions(client, bucket)) await each(keys, async (key) => void targets.push(...(await versionsOf(client, bucket, key))));
  else targets.push(...keys.map((Key) => ({ Key })));
  const locked = new Map<string, number | null>();
  for (let at = 0; at < targets.length; at += deleteBatch) {
    const batch = targets.slice(at, at + deleteBatch);
    // Not quiet: an answer that is cut off would look like one without errors.
    const command = new DeleteObjectsCommand({
      Bucket: bucket,
      Delete: { Objects: batch },
      ...(bypass ? { BypassGovernanceRetention: true } : {}),
    });
    const denied = deniedOf(batch, await client.send(command, signal ? { abortSignal: signal } : {}));
    await each(denied, async (target) => {
      const until = await lockOf(client, bucket, target);
      if (until === undefined)
        throw new StoreUnavailable(`deleting ${target.Key} failed (AccessDenied), ${denied.length} of ${batch.length} keys were refused`);
      locked.set(target.Key, laterEnd(locked.get(target.Key), until));
    });
  }
  if (locked.size > 0) throw new ObjectsLocked(locked);
}
