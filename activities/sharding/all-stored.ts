import type { ObjectStore } from '../../store/object-store.ts';
import type { Beat } from './store-tensors.ts';

/** Questions to the store at once. */
const parallel = 8;

/** True where the store has every object, as large as it should be. */
export async function allStored(
  store: ObjectStore,
  objects: readonly { readonly key: string; readonly bytes: number }[],
  beat: Beat,
): Promise<boolean> {
  for (let at = 0; at < objects.length; at += parallel) {
    beat();
    const there = await Promise.all(objects.slice(at, at + parallel).map(async ({ key, bytes }) => (await store.size(key)) === bytes));
    if (there.includes(false)) return false;
  }
  return true;
}
