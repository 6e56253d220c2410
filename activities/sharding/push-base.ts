import { join } from 'node:path';
import type { Pool } from '../../platform/mysql.ts';
import { BrokenEncoder } from '../../store/encoder-folder.ts';
import { baseFileKey } from '../../store/keys.ts';
import { type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';
import type { BaseModel } from '../training/base-model.ts';
import { baseFileDigests, storeBase, storeBaseFile } from './base-parts.ts';
import { type PushedFile, beginPush, endPush, renewEveryMs, renewPush } from './base-registry.ts';
import { notStored } from './not-stored.ts';
import type { Beat } from './store-tensors.ts';

/** The push came to nothing through somebody else. */
export class PushOvertaken extends Error {
  override name = 'PushOvertaken';
}

export type Push = { readonly files: readonly PushedFile[]; readonly shards: number; readonly bytes: number; readonly sentBytes: number };

const plainName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Stores all of a base model whose folder was checked: its files, for workers and pods that do not have the folder, and its shards, which every model
 * that starts from it points to by the manifest of the base model. Key: name + digest. What is there already is not sent again, so that after any end the same call goes on.
 */
export async function pushBase(
  { pool, store, shardBytes, beat }: { readonly pool: Pool; readonly store: ObjectStore; readonly shardBytes: number; readonly beat: Beat },
  base: BaseModel,
): Promise<Push> {
  const odd = Object.keys(base.sha256).find((path) => !plainName.test(path));
  if (odd !== undefined)
    throw new BrokenEncoder(base.folder, 'modelwright.json', `names a file outside the folder (${odd})`, 'make the folder anew');
  await beginPush(pool, base);
  const renewing = setInterval(() => void renewPush(pool, base).catch(() => undefined), renewEveryMs);
  try {
    const files: PushedFile[] = [];
    let sentBytes = 0;
    for (const [path, sha256] of Object.entries(await baseFileDigests(base))) {
      const { ref, created } = await storeBaseFile(store, join(base.folder, path), sha256, beat);
      files.push({ path, sha256, bytes: ref.bytes });
      if (created) sentBytes += ref.bytes;
    }
    const parts = await storeBase(store, base, beat, { shardBytes });
    sentBytes += parts.created;
    const objects = [...parts.shards, parts.manifest, ...files.map(({ sha256, bytes }) => ({ key: baseFileKey(sha256), bytes }))];
    const missing = await notStored(store, objects, beat);
    if (missing) throw new StoreUnavailable(`${missing.key} was stored and is not there any more`);
    const keys = [...parts.shards, parts.manifest].map(({ key }) => key);
    if (!(await endPush(pool, { name: base.name, digest: base.digest, files }, keys)))
      throw new PushOvertaken(`${base.name} was withdrawn, or pushed with other files, while it was pushed: push it again`);
    return { files, shards: parts.shards.length, bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0), sentBytes };
  } finally {
    clearInterval(renewing);
  }
}
