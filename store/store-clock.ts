import { randomUUID } from '../platform/clock.ts';
import { clockKey } from './keys.ts';
import { type ObjectStore, StoreUnavailable } from './object-store.ts';

/** The time by the store's own clock, Unix epoch milliseconds: what it says of an object that is stored now. Ages of objects are counted from it. */
export async function storeClockMs(store: Pick<ObjectStore, 'putNew' | 'list' | 'delete'>): Promise<number> {
  const key = clockKey(randomUUID());
  await store.putNew(key, new Uint8Array());
  try {
    for await (const found of store.list(key)) if (found.key === key && Number.isFinite(found.modifiedMs)) return found.modifiedMs;
  } finally {
    await store.delete([key]);
  }
  throw new StoreUnavailable('the store does not list what was stored a moment ago: its clock cannot be read');
}
