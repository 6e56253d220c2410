import { type Amount, type StorageUse, addAmounts, nothing } from '../core/store-care.ts';
import { keptTenantPrefix, tenantPrefix } from './keys.ts';
import { placeOf } from './object-place.ts';
import type { ListedObject, ObjectStore } from './object-store.ts';

/** Everything that takes room below a prefix: where the bucket keeps versions, those too that no reader sees. */
async function* taken(
  { list, locks }: Pick<ObjectStore, 'list' | 'locks'>,
  prefix: string,
): AsyncGenerator<Pick<ListedObject, 'key' | 'bytes'>> {
  yield* list(prefix);
  yield* locks?.hidden(prefix) ?? [];
}

/** What a tenant has in the store, by kind, counted object by object. Keys that are none of ours count as staging. */
export async function storageUse(store: Pick<ObjectStore, 'list' | 'locks'>, tenantId: string): Promise<StorageUse> {
  const use: Record<keyof StorageUse, Amount> = { datasets: nothing, models: nothing, staging: nothing };
  for (const prefix of [tenantPrefix(tenantId), keptTenantPrefix(tenantId)])
    for await (const { key, bytes } of taken(store, prefix)) {
      const kind = placeOf(key)?.kind ?? 'staging';
      if (kind !== 'base') use[kind] = addAmounts(use[kind], { objects: 1, bytes });
    }
  return use;
}

/** What all tenants share, counted apart. */
export async function baseUse(store: Pick<ObjectStore, 'list' | 'locks'>): Promise<Amount> {
  let use = nothing;
  for await (const { bytes } of taken(store, 'base/')) use = addAmounts(use, { objects: 1, bytes });
  return use;
}
