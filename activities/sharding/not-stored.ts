import type { ObjectStore } from '../../store/object-store.ts';

/** Questions to the store at once. */
const parallel = 8;

type Expected = { readonly key: string; readonly bytes: number };

/** An object that the store does not have as large as it should be, and the size that it has (null: it is not there); null where all are there. */
export async function notStored(
  store: Pick<ObjectStore, 'size'>,
  objects: readonly Expected[],
  beat: () => void = () => undefined,
): Promise<(Expected & { readonly size: number | null }) | null> {
  for (let at = 0; at < objects.length; at += parallel) {
    beat();
    const asked = await Promise.all(objects.slice(at, at + parallel).map(async (one) => ({ ...one, size: await store.size(one.key) })));
    const wrong = asked.find(({ bytes, size }) => size !== bytes);
    if (wrong) return wrong;
  }
  return null;
}
