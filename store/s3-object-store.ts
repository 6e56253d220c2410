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

/** Keys in one DeleteObjects request. */
const deleteBatch = 1_000;

const statusOf = (error: unknown): number => (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode ?? 0;
const isMissing = (error: unknown): boolean => statusOf(error) === 404 || (error as Error | null)?.name === 'NoSuchKey';
const isTaken = (error: unknown): boolean => [409, 412].includes(statusOf(error));

/** The object store over S3: Ceph RGW on a cluster, the light server of the embedded default. */
export function createS3ObjectStore(client: S3Client, bucket: string): ObjectStore {
  const failed = (what: string, key: string, error: unknown): Error => {
    if (isMissing(error)) return new ObjectMissing(`${key} does not exist in bucket ${bucket}`, { cause: error });
    return new StoreUnavailable(`${what} ${key} failed (${error instanceof Error ? error.name : 'error'}, status ${statusOf(error)})`, {
      cause: error,
    });
  };
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
    replace: async (key, bytes) => void (await put(key, bytes, false)),
    delete: async (keys, signal) => {
      for (let at = 0; at < keys.length; at += deleteBatch) {
        const Objects = keys.slice(at, at + deleteBatch).map((Key) => ({ Key }));
        try {
          const { Errors = [] } = await client.send(
            new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }),
            signal ? { abortSignal: signal } : {},
          );
          // The request as a whole succeeds although some of its keys do not.
          const [refused] = Errors.filter(({ Code }) => Code !== 'NoSuchKey');
          if (refused) throw new StoreUnavailable(`deleting ${refused.Key ?? ''} failed (${refused.Code ?? 'error'})`);
        } catch (error) {
          throw error instanceof StoreUnavailable ? error : failed('deleting', keys[at] ?? '', error);
        }
      }
    },
    async *list(prefix) {
      let token: string | undefined;
      do {
        const page = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }));
        for (const { Key, Size, LastModified } of page.Contents ?? [])
          // Without a time nobody can say that it is old.
          if (Key !== undefined) yield { key: Key, bytes: Size ?? 0, modifiedMs: LastModified?.getTime() ?? Number.POSITIVE_INFINITY };
        token = page.NextContinuationToken;
      } while (token !== undefined);
    },
    presignGet: (key, expiresIn) => getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key: key }), { expiresIn }),
    presignPut: (key, expiresIn) => getSignedUrl(client, new PutObjectCommand({ Bucket: bucket, Key: key }), { expiresIn }),
  };
}
