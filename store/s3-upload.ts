import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { PutObjectCommand, type S3Client, type UploadPartCommand } from '@aws-sdk/client-s3';
import { type ByteSource, CorruptObject } from './object-store.ts';

/**
 * A PUT whose digest is known before: the gateway is told, and refuses a body that is torn or has changed on the way. Nor is it hashed once more to be
 * signed, which costs as much time as the upload.
 */
export function putCommand(bucket: string, key: string, body: Uint8Array | Readable, bytes: number, sha256: string): PutObjectCommand {
  return withKnownDigest(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentLength: bytes }), sha256);
}

export function withKnownDigest<T extends PutObjectCommand | UploadPartCommand>(command: T, sha256: string): T {
  // Of both commands; the compiler does not see that their stacks have this in common.
  (command as PutObjectCommand).middlewareStack.add(
    (next) => async (args) => {
      (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = sha256;
      return await next(args);
    },
    { step: 'build', name: 'knownDigest' },
  );
  return command;
}

/** The bytes could not be had, for the reason in `cause`: sending them again does not help. */
export class SourceFailed extends Error {
  override name = 'SourceFailed';
}

/** Sends bytes that are not in memory. Throws SourceFailed where those fail or are wrong. They are hashed on the way, and the last of them is kept back until the digest is right. */
export async function putStream(
  client: S3Client,
  bucket: string,
  key: string,
  { bytes, sha256, open }: ByteSource,
  patience: AbortSignal,
): Promise<void> {
  const wrong = new AbortController();
  const checked = async function* (): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    let held: Buffer | null = null;
    for await (const chunk of await open()) {
      hash.update(chunk as Buffer);
      if (held) yield held;
      held = chunk as Buffer;
    }
    if (hash.digest('hex') !== sha256) throw new CorruptObject(`what was to be stored as ${key} does not have the SHA-256 ${sha256}`);
    if (held) yield held;
  };
  const body = Readable.from(checked(), { objectMode: false });
  // The client waits for more of a body that has failed, unless it is told.
  body.once('error', (error) => wrong.abort(error));
  try {
    await client.send(putCommand(bucket, key, body, bytes, sha256), { abortSignal: AbortSignal.any([wrong.signal, patience]) });
  } catch (error) {
    throw wrong.signal.aborted ? new SourceFailed('the source failed', { cause: wrong.signal.reason }) : error;
  } finally {
    body.destroy();
  }
}
