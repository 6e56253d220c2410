import { Readable } from 'node:stream';
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { sha256Hex } from '../platform/hash.ts';
import { CorruptObject, ObjectMissing, type ObjectStore, StoreUnavailable } from './object-store.ts';
import { isMissing, isTaken, storeFailure } from './store-failure.ts';

/** Keys in one DeleteObjects request. */
const deleteBatch = 1_000;

/** A write that is not taken after this long, the client's own repeats included, is not going to be soon: a full pool of Ceph never answers. */
const defaultPatienceMs = 120_000;
/** The slowest line that is waited for: each object may take longer by its size. */
const slowestBytesPerMs = 256;

/** The object store over S3: Ceph RGW on a cluster, the light server of the embedded default. */
export function createS3ObjectStore(client: S3Client, bucket: string, { patienceMs = defaultPatienceMs } = {}): ObjectStore {
  const failed = (what: string, key: string, error: unknown): Error => storeFailure(what, key, bucket, error);
  const size = async (key: string): Promise<number | null> => {
    try {
      const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
      return ContentLength ?? 0;
    } catch (error) {
      if (isMissing(error)) return null;
      throw failed('looking at', key, error);
    }
  };
  const put = async (key: string, bytes: Uint8Array, onlyNew: boolean): Promise<boolean> => {
    try {
      await client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: key,
          Body: bytes,
          ContentLength: bytes.byteLength,
          ...(onlyNew ? { IfNoneMatch: '*' } : {}),
        }),
        { abortSignal: AbortSignal.timeout(patienceMs + Math.ceil(bytes.byteLength / slowestBytesPerMs)) },
      );
      return true;
    } catch (error) {
      if (onlyNew && isTaken(error)) return false;
      throw failed('storing', key, error);
    }
  };
  const stream = async (key: string): Promise<Readable> => {
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      if (Body instanceof Readable) return Body;
      throw new StoreUnavailable(`${key} came without a body`);
    } catch (error) {
      throw error instanceof StoreUnavailable ? error : failed('reading', key, error);
    }
  };
  return {
    bucket,
    size,
    stream,
    putContent: async (key, bytes, sha256) => {
      const ref = { bucket, key, sha256, bytes: bytes.byteLength };
      if ((await size(key)) === bytes.byteLength) return { ref, created: false };
      await put(key, bytes, false);
      return { ref, created: true };
    },
    putNew: async (key, bytes) => ({
      ref: { bucket, key, sha256: sha256Hex(bytes), bytes: bytes.byteLength },
      created: await put(key, bytes, true),
    }),
    read: async ({ key, sha256 }) => {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of await stream(key)) chunks.push(chunk as Buffer);
      } catch (error) {
        throw error instanceof ObjectMissing || error instanceof StoreUnavailable ? error : failed('reading', key, error);
      }
      const bytes = Buffer.concat(chunks);
      if (sha256Hex(bytes) !== sha256) throw new CorruptObject(`${key} does not have the SHA-256 ${sha256} that its reference names`);
      return bytes;
    },
    delete: async (keys) => {
      for (let at = 0; at < keys.length; at += deleteBatch) {
        const Objects = keys.slice(at, at + deleteBatch).map((Key) => ({ Key }));
        try {
          await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }));
        } catch (error) {
          throw failed('deleting', keys[at] ?? '', error);
        }
      }
    },
    async *list(prefix) {
      let token: string | undefined;
      do {
        const page = await client
          .send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }))
          .catch((error: unknown) => {
            throw failed('listing', prefix, error);
          });
        for (const { Key, Size } of page.Contents ?? []) if (Key !== undefined) yield { key: Key, bytes: Size ?? 0 };
        token = page.NextContinuationToken;
      } while (token !== undefined);
    },
    presignGet: (key, expiresIn) => getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key: key }), { expiresIn }),
    presignPut: (key, expiresIn) => getSignedUrl(client, new PutObjectCommand({ Bucket: bucket, Key: key }), { expiresIn }),
  };
}
