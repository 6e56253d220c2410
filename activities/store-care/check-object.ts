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
    const found = await storedDigest(store, key, beat);
    if (found === null) return { state: 'missing', bytes: 0 };
    seen = { state: found.sha256 === sha256 ? 'whole' : 'damaged', bytes: found.bytes };
    if (seen.state !== 'damaged') return seen;
  }
  return seen;
}

/** What its bytes are as they are read now; null: it is not there. Fails with StoreUnavailable. */
export async function storedDigest(
  store: Pick<ObjectStore, 'stream'>,
  key: string,
  beat: () => void,
): Promise<{ readonly sha256: string; readonly bytes: number } | null> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of await store.stream(key)) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).byteLength;
      beat();
    }
  } catch (error) {
    if (error instanceof ObjectMissing) return null;
    throw error instanceof StoreUnavailable ? error : new StoreUnavailable(`reading ${key} broke off`, { cause: error });
  }
  return { sha256: hash.digest('hex'), bytes };
}
