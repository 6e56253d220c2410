import type { Pool } from '../../platform/mysql.ts';
import { baseFileKey, baseShardKey, tenantFileKey, tenantShardKey } from '../../store/keys.ts';
import { ObjectsLocked } from '../../store/object-locks.ts';
import { CorruptObject, ObjectMissing, type ObjectStore } from '../../store/object-store.ts';
import { checkObject } from './check-object.ts';
import { everyTenant } from './tenants.ts';

type Wanted = { readonly key: string; readonly sha256: string };

/**
 * Writes the object anew from another one that has the same digest: what all tenants share, or any tenant's. Returns the key of the copy, null where
 * there is none. Nothing is written that does not have the digest. Key: object.
 */
export async function repairFromCopy(
  { pool, store, beat }: { readonly pool: Pool; readonly store: ObjectStore; readonly beat: () => void },
  { key, sha256 }: Wanted,
): Promise<string | null> {
  const tried = new Set([key]);
  const from = async (copies: readonly string[]): Promise<string | null> => {
    for (const copy of copies) {
      if (tried.has(copy)) continue;
      tried.add(copy);
      beat();
      if ((await store.size(copy)) === null) continue;
      if (await rewrite(store, { key, sha256 }, copy, beat)) return copy;
    }
    return null;
  };
  const shared = await from([baseShardKey(sha256), baseFileKey(sha256)]);
  if (shared !== null) return shared;
  for await (const tenantId of everyTenant(pool)) {
    const found = await from([tenantShardKey(tenantId, sha256), tenantFileKey(tenantId, sha256)]);
    if (found !== null) return found;
  }
  return null;
}

async function rewrite(store: ObjectStore, wanted: Wanted, copy: string, beat: () => void): Promise<boolean> {
  let bytes: Uint8Array;
  try {
    bytes = await store.read({ key: copy, sha256: wanted.sha256 });
  } catch (error) {
    if (error instanceof CorruptObject || error instanceof ObjectMissing) return false;
    throw error;
  }
  return await writeAnew(store, wanted, bytes, beat);
}

/** Stores bytes that have the digest, and looks whether they are there now. False too where a lock keeps what is damaged, and may not be bypassed. */
export async function writeAnew(store: ObjectStore, wanted: Wanted, bytes: Uint8Array, beat: () => void): Promise<boolean> {
  try {
    await store.replace(wanted.key, bytes);
  } catch (error) {
    if (error instanceof ObjectsLocked) return false;
    throw error;
  }
  return (await checkObject(store, wanted, beat)).state === 'whole';
}
