import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { ObjectMissing, type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';
import type { RawSearch } from '../../store/raw-search.ts';

const decompress = promisify(zstdDecompress);
/** A connection may have changed a body or cut it short: only bytes that are wrong each time count as stored so. */
const looks = 3;

export type SearchedObject =
  /** `text`: of a compressed one, what it unpacks to. */
  | { readonly state: 'searched'; readonly bytes: number; readonly search: RawSearch; readonly text: Buffer | null }
  | { readonly state: 'gone' }
  /** Nobody can say what it held before it was damaged. */
  | { readonly state: 'unsearchable'; readonly why: 'other-bytes' | 'not-unpacked' };

/**
 * Looks through one object, packed ones unpacked too. Nothing is found only in bytes that are what they should be: `sha256` is what its key or what refers to
 * it says; null where nothing does. `begin` makes the search of one look. Fails with StoreUnavailable.
 */
export async function searchObject(
  store: Pick<ObjectStore, 'stream'>,
  { key, sha256 }: { readonly key: string; readonly sha256: string | null },
  begin: () => RawSearch,
  beat: () => void,
): Promise<SearchedObject> {
  const packed = key.endsWith('.zst');
  let why: 'other-bytes' | 'not-unpacked' = 'other-bytes';
  for (let look = 0; look < looks; look++) {
    const search = begin();
    const hash = createHash('sha256');
    const kept: Uint8Array[] = [];
    let reading = false;
    const seen = async function* (body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        beat();
        hash.update(chunk);
        if (packed) kept.push(chunk);
        yield chunk;
      }
    };
    let bytes: number;
    try {
      const body = (await store.stream(key)) as AsyncIterable<Uint8Array>;
      reading = true;
      bytes = await search.read(seen(body));
    } catch (error) {
      // It went between the list and now: there is nothing to find in it.
      if (error instanceof ObjectMissing) return { state: 'gone' };
      if (!reading) throw error;
      throw error instanceof StoreUnavailable ? error : new StoreUnavailable(`reading ${key} broke off`, { cause: error });
    }
    why = 'other-bytes';
    if (sha256 !== null && hash.digest('hex') !== sha256) continue;
    if (!packed) return { state: 'searched', bytes, search, text: null };
    const text = await decompress(Buffer.concat(kept)).catch((error: unknown) => {
      // Of zlib: it is no such thing, or not all of it.
      if (/^Z(STD)?_/.test((error as { code?: string }).code ?? '')) return null;
      throw error;
    });
    why = 'not-unpacked';
    if (text === null) continue;
    search.bytes(text);
    return { state: 'searched', bytes, search, text };
  }
  return { state: 'unsearchable', why };
}
