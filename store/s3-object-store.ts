import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { sha256Hex } from '../platform/hash.ts';
import { ObjectsLocked } from './object-locks.ts';
import { CorruptObject, ObjectMissing, type ObjectStore, ObjectTooLarge, StoreUnavailable } from './object-store.ts';
import { checkPage } from './s3-answers.ts';
import { createS3Locks, keepsVersions } from './s3-locks.ts';
import { dropMultipartUploads, putMultipart } from './s3-multipart.ts';
import { removeForGood } from './s3-removal.ts';
import { SourceFailed, putCommand, putStream } from './s3-upload.ts';
import { signedPut } from './signed-put.ts';
import { attemptsOf, isMissing, statusOf, storeFailure } from './store-failure.ts';

/** S3's limit for one PUT, and what a part of an upload has where an object is larger. */
const defaultPutBytes = 5 * 1024 * 1024 * 1024;
const defaultPartBytes = 32 * 1024 * 1024;
/** A stream cannot be sent again by the client itself, as it does with bytes: so often it is opened anew. */
const streamAttempts = 4;
/** Whole objects are read so often before their bytes are called wrong: a transfer can end early, or change bytes, without any error. */
const readAttempts = 3;
/** A create-only write that meets another one under way (409) is sent again: that one may still fail. */
const conflictAttempts = 5;
const conflictPauseMs = 200;
/** A write that is not taken after this long, the client's own repeats included, is not going to be soon: a full pool of Ceph never answers. */
const defaultPatienceMs = 120_000;
/** The slowest line that is waited for: each object may take longer by its size. */
const slowestBytesPerMs = 256;

/** The object store over S3: Ceph RGW on a cluster, the light server of the embedded default. `settings`: how its settings begin, for errors. */
export function createS3ObjectStore(
  client: S3Client,
  bucket: string,
  { patienceMs = defaultPatienceMs, putBytes = defaultPutBytes, partBytes = defaultPartBytes, settings = 'MW_S3' } = {},
): ObjectStore {
  const failed = (what: string, key: string, error: unknown): Error =>
    error instanceof StoreUnavailable || error instanceof ObjectTooLarge || error instanceof ObjectsLocked
      ? error
      : storeFailure(what, key, bucket, error, settings);
  const patience = (bytes: number) => ({ abortSignal: AbortSignal.timeout(patienceMs + Math.ceil(bytes / slowestBytesPerMs)) });

  const size = async (key: string): Promise<number | null> => {
    try {
      const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
      if (ContentLength === undefined) throw new StoreUnavailable(`looking at ${key} failed (the answer does not tell its size)`);
      return ContentLength;
    } catch (error) {
      if (isMissing(error)) return null;
      throw failed('looking at', key, error);
    }
  };
  const put = async (what: string, key: string, bytes: Uint8Array, sha256: string): Promise<void> => {
    try {
      await client.send(putCommand(bucket, key, bytes, bytes.byteLength, sha256), patience(bytes.byteLength));
    } catch (error) {
      throw failed(what, key, error);
    }
  };
  const stream = async (key: string): Promise<Readable> => {
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      if (Body instanceof Readable) return Body;
      throw new StoreUnavailable(`${key} came without a body`);
    } catch (error) {
      throw failed('reading', key, error);
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
  /** A gateway without versions refuses any write to a locked object, also one that is bound to a free key. */
  const isLockedKey = async (key: string, error: unknown): Promise<boolean> =>
    statusOf(error) === 403 && (await locks.locked([key])).has(key);
  const putNew = async (key: string, bytes: Uint8Array, sha256: string): Promise<boolean> => {
    for (let attempt = 1; ; attempt++) {
      try {
        await client.send(
          new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, ContentLength: bytes.byteLength, IfNoneMatch: '*' }),
          patience(bytes.byteLength),
        );
        return true;
      } catch (error) {
        // An earlier try of this very call may have stored the object and lost the answer.
        if (statusOf(error) === 412 || (await isLockedKey(key, error)))
          return attempt + attemptsOf(error) > 2 && (await holds(key, sha256));
        if (statusOf(error) !== 409 || attempt >= conflictAttempts) throw failed('storing', key, error);
      }
      await sleep(attempt * conflictPauseMs);
    }
  };
  const locks = createS3Locks(client, bucket, failed);
  const replace = async (key: string, bytes: Uint8Array): Promise<void> => {
    const until = (await locks.locked([key])).get(key);
    try {
      // Without versions a locked object cannot be written over; with them, what was there becomes an older one.
      if (until !== undefined && !(await keepsVersions(client, bucket))) await removeForGood(client, bucket, [key], { bypass: true });
    } catch (error) {
      throw failed('replacing', key, error);
    }
    await put('replacing', key, bytes, sha256Hex(bytes));
    if (typeof until === 'number') await locks.lock([key], until);
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
        throw failed('reading', key, error);
      }
    },
    putContent: async (key, bytes, sha256) => {
      const ref = { bucket, key, sha256, bytes: bytes.byteLength };
      // The size is enough: a PUT is all or nothing, and these bytes alone are ever put under this key. Bytes that went bad later are the scrub's.
      if ((await size(key)) === bytes.byteLength) return { ref, created: false };
      await put('storing', key, bytes, sha256);
      return { ref, created: true };
    },
    putContentStream: async (key, source) => {
      const { bytes, sha256 } = source;
      const ref = { bucket, key, sha256, bytes };
      if ((await size(key)) === bytes) return { ref, created: false };
      for (let attempt = 1; ; attempt += 1) {
        try {
          if (bytes > putBytes) return { ref, created: await putMultipart(client, bucket, key, source, { partBytes, patience, size }) };
          await putStream(client, bucket, key, source, patience(bytes).abortSignal);
          return { ref, created: true };
        } catch (error) {
          if (error instanceof SourceFailed) throw error.cause;
          if (error instanceof ObjectTooLarge || attempt === streamAttempts) throw failed('storing', key, error);
        }
      }
    },
    putNew: async (key, bytes) => {
      const sha256 = sha256Hex(bytes);
      return { ref: { bucket, key, sha256, bytes: bytes.byteLength }, created: await putNew(key, bytes, sha256) };
    },
    replace,
    read: ({ key, sha256 }) => read(key, sha256),
    delete: async (keys, signal, bypass) => {
      try {
        await removeForGood(client, bucket, keys, { ...(signal ? { signal } : {}), ...(bypass === true ? { bypass } : {}) });
      } catch (error) {
        throw failed('deleting', keys[0] ?? '', error);
      }
    },
    locks,
    dropUploads: async (prefix, beforeMs) => {
      try {
        return await dropMultipartUploads(client, bucket, prefix, beforeMs);
      } catch (error) {
        throw failed('giving up uploads below', prefix, error);
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
        for (const { Key, Size, LastModified } of page.Contents ?? [])
          // Without a time nobody can say that it is old.
          if (Key !== undefined) yield { key: Key, bytes: Size ?? 0, modifiedMs: LastModified?.getTime() ?? Number.POSITIVE_INFINITY };
        token = page.NextContinuationToken;
      } while (token !== undefined);
    },
    presignGet: (key, expiresIn) => getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key: key }), { expiresIn }),
    presignPut: (key, expiresIn) => signedPut(client, bucket, key, expiresIn),
  };
}
