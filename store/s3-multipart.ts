import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { sha256Hex } from '../platform/hash.ts';
import { type ByteSource, CorruptObject, ObjectTooLarge } from './object-store.ts';
import { SourceFailed, withKnownDigest } from './s3-upload.ts';
import { isMissing, statusOf } from './store-failure.ts';

/** S3's limit of parts in one upload, and of bytes in one object. */
const mostParts = 10_000;
const objectBytes = 5 * 1024 ** 4;

type Patience = (bytes: number) => { readonly abortSignal: AbortSignal };
export type MultipartOptions = {
  /** In memory at a time, twice: one part is sent while the next is read. Larger where an object would have too many parts. S3 takes no part below 5 MiB but the last. */
  readonly partBytes: number;
  readonly patience: Patience;
  /** Of the key, as it is now; null: there is none. */
  readonly size: (key: string) => Promise<number | null>;
};

const statusNotDone = [400, 405, 501];

/**
 * Stores what is larger than one PUT may be, by an upload in parts, under a key that carries the digest. The gateway is told the digest of each part,
 * and the upload is finished only when that of the whole is right; where the key was free it is bound to that, so that of two writers one finishes.
 * Returns whether it was this call. Throws SourceFailed where the bytes fail or are wrong, ObjectTooLarge where the gateway cannot do it.
 */
export async function putMultipart(
  client: S3Client,
  bucket: string,
  key: string,
  source: ByteSource,
  { partBytes, patience, size }: MultipartOptions,
): Promise<boolean> {
  const { bytes } = source;
  if (bytes > objectBytes) throw new ObjectTooLarge(`${key} would have ${bytes} bytes, and one object can have ${objectBytes}`);
  const wasFree = (await size(key)) === null;
  const at = { Bucket: bucket, Key: key };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(at), patience(0)).catch((error: unknown) => {
    if (!statusNotDone.includes(statusOf(error))) throw error;
    throw new ObjectTooLarge(
      `${key} has ${bytes} bytes, more than the store takes in one request, and it takes no uploads in parts (status ${statusOf(error)}): ` +
        'use a gateway that does (Ceph, AWS S3, versitygw), or a model without tensors that large',
      { cause: error },
    );
  });
  const upload = { ...at, UploadId };
  try {
    const Parts = await sendParts(client, upload, source, Math.max(partBytes, Math.ceil(bytes / mostParts)), patience);
    const complete = (bound: boolean): Promise<unknown> =>
      client.send(
        new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, ...(bound ? { IfNoneMatch: '*' } : {}) }),
        patience(bytes),
      );
    try {
      await complete(wasFree);
    } catch (error) {
      // Another one has stored it, or an earlier try of this very request has and its answer was lost.
      if ((isMissing(error) || [409, 412].includes(statusOf(error))) && (await size(key)) === bytes) return false;
      if (!wasFree || !statusNotDone.includes(statusOf(error))) throw error;
      // The condition is not known there. The key carries the digest: whoever else writes it writes the same.
      await complete(false);
    }
    return true;
  } finally {
    // Nothing to do for one that is finished; one that this does not reach is dropped by the garbage collection.
    await client.send(new AbortMultipartUploadCommand(upload), patience(0)).catch(() => undefined);
  }
}

type Upload = { readonly Bucket: string; readonly Key: string; readonly UploadId: string | undefined };

async function sendParts(
  client: S3Client,
  upload: Upload,
  { bytes, sha256, open }: ByteSource,
  partBytes: number,
  patience: Patience,
): Promise<CompletedPart[]> {
  const sent: CompletedPart[] = [];
  let sending: Promise<void> = Promise.resolve();
  const send = async (PartNumber: number, Body: Buffer): Promise<void> => {
    const command = new UploadPartCommand({ ...upload, PartNumber, Body, ContentLength: Body.byteLength });
    const { ETag } = await client.send(withKnownDigest(command, sha256Hex(Body)), patience(Body.byteLength));
    sent.push({ PartNumber, ETag });
  };
  try {
    for await (const [number, part] of partsOf(open, bytes, sha256, partBytes, upload.Key)) {
      await sending;
      sending = send(number, part);
      // Whoever waits for it hears of it; until then it is not unheard.
      sending.catch(() => undefined);
    }
  } finally {
    await sending;
  }
  return sent;
}

/** Parts by their numbers, from 1. The last comes only when the digest of the whole was found right. Throws SourceFailed. */
async function* partsOf(
  open: ByteSource['open'],
  bytes: number,
  sha256: string,
  partBytes: number,
  key: string,
): AsyncGenerator<readonly [number, Buffer]> {
  const hash = createHash('sha256');
  let total = 0;
  let number = 0;
  let filled = 0;
  let part = Buffer.allocUnsafe(Math.min(partBytes, bytes));
  try {
    for await (const read of await open()) {
      let chunk = read as Buffer;
      hash.update(chunk);
      total += chunk.byteLength;
      if (total > bytes) break;
      while (chunk.byteLength > 0) {
        if (filled === part.byteLength) {
          yield [++number, part];
          part = Buffer.allocUnsafe(Math.min(partBytes, bytes - number * partBytes));
          filled = 0;
        }
        const taken = chunk.copy(part, filled);
        filled += taken;
        chunk = chunk.subarray(taken);
      }
    }
    if (total !== bytes || hash.digest('hex') !== sha256)
      throw new CorruptObject(`what was to be stored as ${key} does not have the SHA-256 ${sha256}`);
  } catch (error) {
    throw new SourceFailed('the source failed', { cause: error });
  }
  yield [++number, part];
}

/** Gives up uploads in parts that were begun before that time and never finished: their parts take room, and nobody can see them. */
export async function dropMultipartUploads(client: S3Client, bucket: string, prefix: string, beforeMs: number): Promise<number> {
  let dropped = 0;
  let from: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | null = {};
  while (from) {
    const page: ListMultipartUploadsCommandOutput | null = await client
      .send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...from }))
      .catch((error: unknown) => {
        // It knows no such uploads, and so has none.
        if (statusNotDone.includes(statusOf(error))) return null;
        throw error;
      });
    for (const { Key, UploadId, Initiated } of page?.Uploads ?? []) {
      if (Key === undefined || !Key.startsWith(prefix) || (Initiated?.getTime() ?? Number.POSITIVE_INFINITY) > beforeMs) continue;
      await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId })).catch((error: unknown) => {
        if (!isMissing(error) && (error as Error).name !== 'NoSuchUpload') throw error;
      });
      dropped += 1;
    }
    from = page?.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : null;
  }
  return dropped;
}
