import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { BrokenEncoder, listEncoders, readEncoder } from '../../store/encoder-folder.ts';
import { ObjectMissing, type ObjectStore } from '../../store/object-store.ts';
import { storeBase } from '../sharding/base-parts.ts';

/**
 * Tells of every object of every base model that is installed here, made the very way in which a run makes them, and stores nothing. `take` may keep
 * the bytes. Returns the folders that are broken: their objects are not known.
 */
export async function installedBaseParts(
  { modelsDir, shardBytes }: { readonly modelsDir: string; readonly shardBytes: number },
  take: (key: string, bytes: Uint8Array, sha256: string) => Promise<void>,
  beat: () => void,
): Promise<readonly string[]> {
  const teller = tellingStore(take);
  const broken: string[] = [];
  for (const { name } of await listEncoders(modelsDir)) {
    try {
      await storeBase(teller, await readEncoder(join(modelsDir, name)), beat, { shardBytes });
    } catch (error) {
      if (!(error instanceof BrokenEncoder)) throw error;
      broken.push(error.message);
    }
  }
  return broken;
}

/** A store in which nothing is, and which keeps nothing. */
function tellingStore(take: (key: string, bytes: Uint8Array, sha256: string) => Promise<void>): ObjectStore {
  const bucket = '';
  const missing = (key: string): Promise<never> => Promise.reject(new ObjectMissing(`${key} is not stored here`));
  return {
    bucket,
    putContent: async (key, bytes, sha256) => {
      await take(key, bytes, sha256);
      return { ref: { bucket, key, sha256, bytes: bytes.byteLength }, created: true };
    },
    putContentStream: async (key, { sha256, bytes, open }) => {
      const chunks: Buffer[] = [];
      for await (const chunk of await open()) chunks.push(chunk as Buffer);
      await take(key, Buffer.concat(chunks), sha256);
      return { ref: { bucket, key, sha256, bytes }, created: true };
    },
    putNew: missing,
    replace: missing,
    read: ({ key }) => missing(key),
    stream: (key): Promise<Readable> => missing(key),
    streamPart: (key): Promise<Readable> => missing(key),
    size: () => Promise.resolve(null),
    delete: () => Promise.resolve(),
    dropUploads: () => Promise.resolve(0),
    // eslint-disable-next-line no-empty-function
    list: async function* () {},
    presignGet: missing,
    presignPut: missing,
  };
}
