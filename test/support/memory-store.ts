import { Readable } from 'node:stream';
import { sha256Hex } from '../../platform/hash.ts';
import { CorruptObject, ObjectMissing, type ObjectStore } from '../../store/object-store.ts';

/** An object store in memory, for tests of what is built on the port. `beforePut` may throw: the store is away. */
export function memoryStore(beforePut: (key: string) => void = () => undefined) {
  const objects = new Map<string, Buffer>();
  const bucket = 'memory';
  const get = (key: string): Buffer => {
    const found = objects.get(key);
    if (!found) throw new ObjectMissing(`${key} does not exist`);
    return found;
  };
  const put = async (key: string, bytes: Buffer, isThere: boolean) => {
    await Promise.resolve();
    const ref = { bucket, key, sha256: sha256Hex(bytes), bytes: bytes.byteLength };
    if (isThere) return { ref, created: false };
    beforePut(key);
    objects.set(key, bytes);
    return { ref, created: true };
  };
  const unused = () => Promise.reject(new Error('there are no addresses in memory'));
  const store: ObjectStore = {
    bucket,
    putContent: (key, bytes) => put(key, Buffer.from(new Uint8Array(bytes)), objects.get(key)?.byteLength === bytes.byteLength),
    putContentStream: async (key, { bytes, sha256, open }) => {
      if (objects.get(key)?.byteLength === bytes) return { ref: { bucket, key, sha256, bytes }, created: false };
      const chunks: Buffer[] = [];
      for await (const chunk of await open()) chunks.push(Buffer.from(chunk as Uint8Array));
      const content = Buffer.concat(chunks);
      if (sha256Hex(content) !== sha256) throw new CorruptObject(`${key} does not have the SHA-256 ${sha256}`);
      return await put(key, content, false);
    },
    replace: async (key, bytes) => void (await put(key, Buffer.from(bytes), false)),
    putNew: (key, bytes) => put(key, Buffer.from(bytes), objects.has(key)),
    read: async ({ key }) => await Promise.resolve(get(key)),
    stream: async (key) => await Promise.resolve(Readable.from([get(key)])),
    streamPart: async (key, from, bytes) => await Promise.resolve(Readable.from([get(key).subarray(from, from + bytes)])),
    size: (key) => Promise.resolve(objects.get(key)?.byteLength ?? null),
    delete: (keys) => Promise.resolve(keys.forEach((key) => objects.delete(key))),
    dropUploads: () => Promise.resolve(0),
    async *list(prefix) {
      await Promise.resolve();
      for (const [key, { byteLength }] of objects) if (key.startsWith(prefix)) yield { key, bytes: byteLength, modifiedMs: 0 };
    },
    presignGet: unused,
    presignPut: unused,
  };
  return { store, objects };
}
