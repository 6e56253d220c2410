import { Readable } from 'node:stream';
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from 'vitest';
import { randomBytes } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { sha256Hex } from '../platform/hash.ts';
import { createS3Client } from '../platform/s3.ts';
import { type ByteSource, CorruptObject, ObjectMissing, type ObjectStore, StoreUnavailable } from './object-store.ts';
import { createS3ObjectStore } from './s3-object-store.ts';

export type Gateway = {
  readonly s3: Config['s3'];
  /** A second site: the contract is that of `store`, which lies on both. */
  readonly second?: { readonly s3: Config['s3']; readonly store: ObjectStore };
  /** Credentials that may do nothing in the bucket. */
  readonly stranger: Pick<Config['s3'], 'accessKey' | 'secretKey'>;
  readonly close: () => Promise<void>;
};

/** Writers that race for one key. */
const writers = 8;
/** More than one page of a listing, and more than one request of a deletion. */
const manyKeys = 1_050;
const atOnce = 25;
const largeBytes = 24 * 1024 ** 2;

/** What a listing gives, in its order. */
export async function keysOf(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}

/** In pieces that end within parts. */
function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.byteLength; at += 700_001) yield bytes.subarray(at, at + 700_001);
}

/** What the platform relies on of an object store, whichever gateway is behind it. Call it within a `describe`. */
export function objectStoreContract(opened: () => Gateway): void {
  let gateway: Gateway;
  let store: ObjectStore;
  const clientOf = (s3: Partial<Config['s3']> = {}) => createS3Client({ s3: { ...gateway.s3, ...s3 } });
  const put = async (key: string, text: string) => {
    const bytes = Buffer.from(text);
    return await store.putContent(key, bytes, sha256Hex(bytes));
  };

  beforeAll(() => {
    gateway = opened();
    const { s3, second } = gateway;
    store = second?.store ?? createS3ObjectStore(clientOf(), s3.bucket);
  });

  it('stores content once and reads it verified', async () => {
    const first = await put('contract/once', 'some text');
    expect(first).toEqual({
      created: true,
      ref: { bucket: gateway.s3.bucket, key: 'contract/once', sha256: sha256Hex('some text'), bytes: 9 },
    });
    expect((await put('contract/once', 'some text')).created).toBe(false);
    expect(Buffer.from(await store.read(first.ref)).toString('utf8')).toBe('some text');
    expect(await store.size('contract/once')).toBe(9);
  });

  it('stores the empty object, and keys of any letters', async () => {
    for (const key of ['contract/empty', 'contract/ü é 中 + & % ? #', "contract/a'b(c)*!~"]) {
      const { ref } = await put(key, '');
      expect(await store.size(key)).toBe(0);
      expect((await store.read(ref)).byteLength).toBe(0);
    }
  });

  it(`lets one of ${writers} writers of a new key win, and no later one`, async () => {
    const texts = Array.from({ length: writers }, (_, index) => `writer ${index}`);
    const results = await Promise.all(texts.map((text) => store.putNew('contract/raced', Buffer.from(text))));
    const winners = results.flatMap(({ created }, index) => (created ? [texts[index]] : []));
    expect(winners).toHaveLength(1);
    expect((await store.putNew('contract/raced', Buffer.from('late'))).created).toBe(false);
    const kept = await store.read({ key: 'contract/raced', sha256: sha256Hex(winners[0] ?? '') });
    expect(Buffer.from(kept).toString('utf8')).toBe(winners[0]);
  });

  it('says of a missing object that it is missing', async () => {
    expect(await store.size('contract/none')).toBeNull();
    await expect(store.read({ key: 'contract/none', sha256: sha256Hex('') })).rejects.toThrow(ObjectMissing);
    await expect(store.stream('contract/none')).rejects.toThrow(ObjectMissing);
    await store.delete(['contract/none']);
  });

  it('does not hand out bytes that are not what their reference names', async () => {
    const { ref } = await put('contract/flipped', 'right');
    for (const s3 of [gateway.s3, ...(gateway.second ? [gateway.second.s3] : [])])
      await clientOf(s3).send(new PutObjectCommand({ Bucket: s3.bucket, Key: ref.key, Body: Buffer.from('wrong') }));
    await expect(store.read(ref)).rejects.toThrow(CorruptObject);
    await expect(store.read(ref)).rejects.toThrow(ref.key);
  });

  it('streams a large object', async () => {
    const bytes = randomBytes(largeBytes);
    const { ref } = await store.putContent('contract/large', bytes, sha256Hex(bytes));
    const parts: Buffer[] = [];
    for await (const part of await store.stream(ref.key)) parts.push(part as Buffer);
    expect(sha256Hex(Buffer.concat(parts))).toBe(ref.sha256);
  });

  describe('an object that is larger than one request may be', () => {
    /** The least that S3 takes for a part, so that these are three. */
    const limits = { putBytes: 6 * 1024 ** 2, partBytes: 5 * 1024 ** 2 };
    const bytes = randomBytes(13 * 1024 ** 2);
    const sha256 = sha256Hex(bytes);
    const sourceOf = (content: Buffer, told = sha256): ByteSource => ({
      bytes: bytes.byteLength,
      sha256: told,
      open: () => Promise.resolve(Readable.from(piecesOf(content))),
    });
    const parted = () => createS3ObjectStore(clientOf(), gateway.s3.bucket, limits);
    const uploads = async (): Promise<string[]> => {
      const found = await clientOf().send(new ListMultipartUploadsCommand({ Bucket: gateway.s3.bucket, Prefix: 'contract/parted' }));
      return (found.Uploads ?? []).map(({ Key = '' }) => Key);
    };

    it('is stored in parts, once, and read verified', async () => {
      expect(await parted().putContentStream('contract/parted/one', sourceOf(bytes))).toMatchObject({ created: true, ref: { sha256 } });
      expect((await parted().putContentStream('contract/parted/one', sourceOf(bytes))).created).toBe(false);
      expect(await store.size('contract/parted/one')).toBe(bytes.byteLength);
      expect((await store.read({ key: 'contract/parted/one', sha256 })).byteLength).toBe(bytes.byteLength);
      const part: Buffer[] = [];
      for await (const chunk of await store.streamPart('contract/parted/one', 5 * 1024 ** 2 - 10, 20)) part.push(chunk as Buffer);
      expect(Buffer.concat(part).equals(bytes.subarray(5 * 1024 ** 2 - 10, 5 * 1024 ** 2 + 10))).toBe(true);
      expect(await uploads()).toEqual([]);
    });

    it('is whole whoever of several writers at once was first', async () => {
      const results = await Promise.all(
        Array.from({ length: 3 }, () => parted().putContentStream('contract/parted/raced', sourceOf(bytes))),
      );
      expect(results.filter(({ created }) => created).length).toBeGreaterThanOrEqual(1);
      expect((await store.read({ key: 'contract/parted/raced', sha256 })).byteLength).toBe(bytes.byteLength);
      expect(await uploads()).toEqual([]);
    });

    it('is not stored where its bytes are wrong, too few or too many, or break off, and nothing is left of it', async () => {
      const key = 'contract/parted/wrong';
      for (const content of [
        Buffer.concat([bytes.subarray(1), bytes.subarray(0, 1)]),
        bytes.subarray(1),
        Buffer.concat([bytes, bytes.subarray(0, 1)]),
      ])
        await expect(parted().putContentStream(key, sourceOf(content))).rejects.toThrow(CorruptObject);
      const broken = async function* (): AsyncGenerator<Buffer> {
        yield await Promise.resolve(bytes.subarray(0, 11 * 1024 ** 2));
        throw new Error('the connection was reset');
      };
      const source = { bytes: bytes.byteLength, sha256, open: () => Promise.resolve(Readable.from(broken())) };
      await expect(parted().putContentStream(key, source)).rejects.toThrow('the connection was reset');
      expect(await store.size(key)).toBeNull();
      expect(await uploads()).toEqual([]);
    });

    it('whose upload nobody finished is given up when it is old enough, and no other', async () => {
      for (const name of ['contract/parted/left', 'contract/other/left'])
        await clientOf().send(new CreateMultipartUploadCommand({ Bucket: gateway.s3.bucket, Key: name }));
      expect(await store.dropUploads('contract/parted/', Date.now() - 3_600_000)).toBe(0);
      expect(await uploads()).toEqual(['contract/parted/left']);
      expect(await store.dropUploads('contract/parted/', Date.now() + 3_600_000)).toBe(1);
      expect(await uploads()).toEqual([]);
      expect(await store.dropUploads('contract/', Date.now() + 3_600_000)).toBe(1);
    });
  });

  it('lists all of a prefix in order, and nothing else, and deletes all of it', async () => {
    const keys = Array.from({ length: manyKeys }, (_, index) => `contract/many/${String(index).padStart(5, '0')}`);
    await put('contract/many-not', 'x');
    for (let at = 0; at < keys.length; at += atOnce) await Promise.all(keys.slice(at, at + atOnce).map((key) => put(key, 'x')));
    const listed = async (): Promise<string[]> => await keysOf(store, 'contract/many/');
    expect(await listed()).toEqual(keys);
    await store.delete(keys);
    expect(await listed()).toEqual([]);
    expect(await store.size('contract/many-not')).toBe(1);
  });

  it('gives addresses by which one object is read or written without a key', async () => {
    const written = await fetch(await store.presignPut('contract/signed', 60), { method: 'PUT', body: 'by address' });
    expect(written.status).toBe(200);
    const read = await fetch(await store.presignGet('contract/signed', 60));
    expect(await read.text()).toBe('by address');
    const other = (await store.presignGet('contract/signed', 60)).replace('contract/signed', 'contract/once');
    expect((await fetch(other)).status).toBe(403);
  });

  it('names what to look at when the key may not use the bucket', async () => {
    const denied = createS3ObjectStore(clientOf(gateway.stranger), gateway.s3.bucket);
    const { ref } = await put('contract/private', 'private');
    const wishes = [
      () => denied.putNew('contract/foreign', Buffer.from('x')),
      () => denied.read(ref),
      () => keysOf(denied, 'contract/'),
      () => denied.size('contract/private'),
    ];
    for (const wish of wishes) {
      const error: unknown = await wish().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(StoreUnavailable);
      expect(String(error)).toMatch(/MW_S3_ACCESS_KEY/);
      expect(String(error)).not.toContain(gateway.stranger.secretKey);
    }
    expect(await store.size('contract/foreign')).toBeNull();
  });

  it('names the bucket that does not exist', async () => {
    const lost = createS3ObjectStore(clientOf(), 'no-such-bucket-here');
    await expect(lost.putNew('a', Buffer.from('x'))).rejects.toThrow(/bucket no-such-bucket-here does not exist/);
    await expect(lost.stream('a')).rejects.toThrow(/bucket no-such-bucket-here does not exist/);
  });
}
