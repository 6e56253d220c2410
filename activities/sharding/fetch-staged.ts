import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ObjectRef } from '../../core/object-ref.ts';
import { CorruptObject, type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';

/** Brings a staged object to a local file, verified while it streams. */
export async function fetchStaged(store: ObjectStore, ref: ObjectRef, path: string, beat: () => void): Promise<void> {
  const hash = createHash('sha256');
  const source = await store.stream(ref.key);
  const hashing = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      beat();
      done(null, chunk);
    },
  });
  try {
    await pipeline(source, hashing, createWriteStream(path));
  } catch (error) {
    throw new StoreUnavailable(`reading ${ref.key} broke off`, { cause: error });
  }
  if (hash.digest('hex') !== ref.sha256) throw new CorruptObject(`${ref.key} does not have the SHA-256 that the trainer named`);
}
