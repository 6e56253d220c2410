import { createHash } from 'node:crypto';
import { ObjectMissing, type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';

export type ObjectState = { readonly state: 'whole' | 'damaged' | 'missing'; readonly bytes: number };

/** A second look before an object is called damaged: a connection may have torn its body. */
const looks = 2;

/** Reads the whole object, in pieces, and compares its digest. Fails with StoreUnavailable where that cannot be said. */
export async function checkObject(
  store: Pick<ObjectStore, 'stream'>,
  { key, sha256 }: { readonly key: string; readonly sha256: string },
  beat: () => void,
): Promise<ObjectState> {
  let seen: ObjectState = { state: 'missing', bytes: 0 };
  for (let look = 0; look < looks; look++) {
    seen = await readOnce(store, key, sha256, beat);
    if (seen.state !== 'damaged') return seen;
  }
  return seen;
}

async function readOnce(store: Pick<ObjectStore, 'stream'>, key: string, sha256: string, beat: () => void): Promise<ObjectState> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of await store.stream(key)) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).byteLength;
      beat();
    }
  } catch (error) {
    if (error instanceof ObjectMissing) return { state: 'missing', bytes };
    throw error instanceof StoreUnavailable ? error : new StoreUnavailable(`reading ${key} broke off`, { cause: error });
  }
  return { state: hash.digest('hex') === sha256 ? 'whole' : 'damaged', bytes };
}
