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
import { SourceFailed, putCommand, putStream } from './s3-upload.ts';

/** S3's limit for one PUT. */
const putBytes = 5 * 1024 * 1024 * 1024;
/** A stream cannot be sent again by the client itself, as it does with bytes: so often it is opened anew. */
const streamAttempts = 4;
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
  const putNew = async (key: string, bytes: Uint8Array): Promise<boolean> => {
    try {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, ContentLength: bytes.byteLength, IfNoneMatch: '*' }));
      return true;
    } catch (error) {
      if (isTaken(error)) return false;
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
    streamPart: async (key, from, bytes) => {
      try {
        const range = `bytes=${from}-${from + bytes - 1}`;
        const { Body, ContentRange, ContentLength } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key, Range: range }));
        if (!(Body instanceof Readable)) throw new StoreUnavailable(`${key} came without a body`);
        if (ContentRange?.startsWith(`bytes ${from}-${from + bytes - 1}/`) === true || (from === 0 && ContentLength === bytes)) return Body;
        Body.destroy();
        throw new StoreUnavailable(
          `${key}: bytes ${from} to ${from + bytes - 1} were asked for, the store sent ${ContentRange ?? 'all of it'}`,
        );
      } catch (error) {
        throw error instanceof StoreUnavailable ? error : failed('reading', key, error);
      }
    },
    putContent: async (key, bytes, sha256) => {
      const ref = { bucket, key, sha256, bytes: bytes.byteLength };
      if ((await size(key)) === bytes.byteLength) return { ref, created: false };
      try {
        await client.send(putCommand(bucket, key, bytes, bytes.byteLength, sha256));
      } catch (error) {
        throw failed('storing', key, error);
      }
      return { ref, created: true };
    },
    putContentStream: async (key, source) => {
      const { bytes, sha256 } = source;
      const ref = { bucket, key, sha256, bytes };
      if (bytes > putBytes) throw new RangeError(`${key} would have ${bytes} bytes: one object can have ${putBytes}`);
      if ((await size(key)) === bytes) return { ref, created: false };
      for (let attempt = 1; ; attempt += 1) {
        try {
          await putStream(client, bucket, key, source);
          return { ref, created: true };
        } catch (error) {
          if (error instanceof SourceFailed) throw error.cause;
          if (attempt === streamAttempts) throw failed('storing', key, error);
        }
      }
    },
    putNew: async (key, bytes) => ({
      ref: { bucket, key, sha256: sha256Hex(bytes), bytes: bytes.byteLength },
      created: await putNew(key, bytes),
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
    replace: async (key, bytes) => {
      try {
        await client.send(putCommand(bucket, key, bytes, bytes.byteLength, sha256Hex(bytes)));
      } catch (error) {
        throw failed('replacing', key, error);
      }
    },
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
