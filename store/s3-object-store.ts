import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
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
import { checkDeleted, checkPage } from './s3-answers.ts';

/** Keys in one DeleteObjects request. */
const deleteBatch = 1_000;
/** Whole objects are read so often before their bytes are called wrong: a transfer can end early, or change bytes, without any error. */
const readAttempts = 3;
/** A create-only write that meets another one under way (409) is sent again: that one may still fail. */
const conflictAttempts = 5;
const conflictPauseMs = 200;

type Answered = { readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number } } | null;
const statusOf = (error: unknown): number => (error as Answered)?.$metadata?.httpStatusCode ?? 0;
/** How often the client has sent the request. */
const attemptsOf = (error: unknown): number => (error as Answered)?.$metadata?.attempts ?? 1;
const isMissing = (error: unknown): boolean => statusOf(error) === 404 || (error as Error | null)?.name === 'NoSuchKey';

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
      if (ContentLength === undefined) throw new StoreUnavailable(`looking at ${key} failed (the answer does not tell its size)`);
      return ContentLength;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error instanceof StoreUnavailable ? error : failed('looking at', key, error);
    }
  };
  const send = async (key: string, bytes: Uint8Array, onlyNew: boolean): Promise<void> => {
    const condition = onlyNew ? { IfNoneMatch: '*' } : {};
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, ContentLength: bytes.byteLength, ...condition }));
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
  const read = async (key: string, sha256: string): Promise<Buffer> => {
    for (let attempt = 1; ; attempt++) {
      const body = await stream(key);
      let problem: Error;
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of body) chunks.push(chunk as Buffer);
        const bytes = Buffer.concat(chunks);
        if (sha256Hex(bytes) === sha256) return bytes;
        problem = new CorruptObject(`${key} does not have the SHA-256 ${sha256} that its reference names`);
      } catch (error) {
        problem = failed('reading', key, error);
      }
      if (attempt >= readAttempts) throw problem;
    }
  };
  /** Whether a key that is taken holds these bytes. */
  const holds = async (key: string, sha256: string): Promise<boolean> => {
    try {
      await read(key, sha256);
      return true;
    } catch (error) {
      if (error instanceof CorruptObject) return false;
      throw error instanceof ObjectMissing ? new StoreUnavailable(`storing ${key} failed (it was taken, and is gone)`) : error;
    }
  };
  const putNew = async (key: string, bytes: Uint8Array, sha256: string): Promise<boolean> => {
    for (let attempt = 1; ; attempt++) {
      try {
        await send(key, bytes, true);
        return true;
      } catch (error) {
        // An earlier try of this very call may have stored the object and lost the answer.
        if (statusOf(error) === 412) return attempt + attemptsOf(error) > 2 && (await holds(key, sha256));
        if (statusOf(error) !== 409 || attempt >= conflictAttempts) throw failed('storing', key, error);
      }
      await sleep(attempt * conflictPauseMs);
    }
  };
  return {
    bucket,
    size,
    stream,
    putContent: async (key, bytes, sha256) => {
      const ref = { bucket, key, sha256, bytes: bytes.byteLength };
      // The size is enough: a PUT is all or nothing, and these bytes alone are ever put under this key. Bytes that went bad later are the scrub's.
      if ((await size(key)) === bytes.byteLength) return { ref, created: false };
      try {
        await send(key, bytes, false);
      } catch (error) {
        throw failed('storing', key, error);
      }
      return { ref, created: true };
    },
    putNew: async (key, bytes) => {
      const sha256 = sha256Hex(bytes);
      return { ref: { bucket, key, sha256, bytes: bytes.byteLength }, created: await putNew(key, bytes, sha256) };
    },
    read: ({ key, sha256 }) => read(key, sha256),
    delete: async (keys) => {
      for (let at = 0; at < keys.length; at += deleteBatch) {
        const batch = keys.slice(at, at + deleteBatch);
        const Objects = batch.map((Key) => ({ Key }));
        try {
          // Not quiet: an answer that is cut off would look like one without errors.
          checkDeleted(batch, await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } })));
        } catch (error) {
          throw error instanceof StoreUnavailable ? error : failed('deleting', batch[0] ?? '', error);
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
        checkPage(bucket, prefix, page);
        for (const { Key, Size } of page.Contents ?? []) if (Key !== undefined) yield { key: Key, bytes: Size ?? 0 };
        token = page.NextContinuationToken;
      } while (token !== undefined);
    },
    presignGet: (key, expiresIn) => getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key: key }), { expiresIn }),
    presignPut: (key, expiresIn) => getSignedUrl(client, new PutObjectCommand({ Bucket: bucket, Key: key }), { expiresIn }),
  };
}
