import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { nowMs, randomUUID } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { createS3Client } from '../platform/s3.ts';
import { StoreUnavailable } from './object-store.ts';
import { GatewayRefused } from './gateway-refused.ts';
import { createS3ObjectStore } from './s3-object-store.ts';
import { lockAbilities, mustDeleteVersions, mustLock } from './lock-probe.ts';
import { statusOf, storeFailure } from './store-failure.ts';

/** What a gateway really does, as tried. What it lacks is gone without; what cannot be gone without is a `GatewayRefused`. */
export type GatewayAbilities = {
  /** A range of an object can be read. Without it, readers take whole objects. */
  readonly range: boolean;
  /** The gateway copies an object itself. Without it, bytes travel through us. */
  readonly copy: boolean;
  /** The gateway copies a part of an upload from an object. Without it, bytes travel through us. */
  readonly copyPart: boolean;
  /** Finishing an upload in parts can be bound to a free key. Without it, only content-addressed keys are written so. */
  readonly conditionalComplete: boolean;
  /** A body that does not have its Content-MD5 is refused. Without it, a torn body is found by the reader only. */
  readonly checksums: boolean;
  /** Objects of the bucket can be locked (docs/store/object-lock.md). */
  readonly objectLock: boolean;
  /** The bucket keeps versions: each deletion removes them too, one request a key more. */
  readonly versions: boolean;
  /** The gateway's clock minus ours, in ms, to the second. */
  readonly clockSkewMs: number;
};

const prefix = 'probe/';
/** Signed addresses and requests are refused 15 minutes off; leases and retention go wrong before that. */
const mostSkewMs = 5 * 60_000;
/** Objects of a probe that died are removed by a later one when they are this old: younger ones may be in use. */
const leftOverMs = 3_600_000;
const answerMs = 20_000;
const writers = 2;
const text = Buffer.from('what a gateway does');

/**
 * Tries out a gateway, under `probe/` of the bucket, and removes what it wrote. `settings`: how its settings begin; `lockDays`: MW_OBJECT_LOCK_DAYS, with
 * which it must be able to lock.
 */
export async function probeGateway({ s3 }: Pick<Config, 's3'>, settings = 'MW_S3', lockDays = 0): Promise<GatewayAbilities> {
  const client = createS3Client({ s3 });
  const folder = `${prefix}${randomUUID()}/`;
  try {
    await mustHaveBucket(client, s3, settings);
    const clockSkewMs = await skewOf(s3.endpoint);
    if (Math.abs(clockSkewMs) > mostSkewMs) {
      const off = `${Math.round(Math.abs(clockSkewMs) / 1_000)} s ${clockSkewMs > 0 ? 'ahead of' : 'behind'}`;
      throw new GatewayRefused(
        `the clock of ${s3.endpoint} is ${off} this machine's`,
        'set both by NTP: requests and addresses are signed with the time',
      );
    }
    const place = { client, s3, settings, lockDays };
    const { objectLock, versions } = await lockAbilities(place);
    try {
      await mustCreateOnly(client, s3, `${folder}new`, settings, versions);
      if (versions) await mustDeleteVersions(place, `${folder}twice`);
      if (lockDays > 0) await mustLock(place, `${folder}locked`);
      return {
        objectLock,
        versions,
        range: await canRange(client, s3.bucket, `${folder}new`),
        copy: await succeeds(() =>
          client.send(new CopyObjectCommand({ Bucket: s3.bucket, Key: `${folder}copy`, CopySource: `${s3.bucket}/${folder}new` })),
        ),
        ...(await multipart(client, s3.bucket, folder)),
        checksums: await refusesWrongChecksum(client, s3.bucket, `${folder}torn`),
        clockSkewMs,
      };
    } finally {
      await cleanUp(client, s3.bucket, folder).catch(() => undefined);
    }
  } catch (error) {
    throw error instanceof GatewayRefused || error instanceof StoreUnavailable
      ? error
      : storeFailure('probing', folder, s3.bucket, error, settings);
  } finally {
    client.destroy();
  }
}

/** What is gone without, each in a sentence; empty where a gateway can all. */
export function lackingAbilities({ range, copy, copyPart, conditionalComplete, checksums }: GatewayAbilities): string[] {
  return [
    range ? '' : 'ranges cannot be read: readers take whole objects',
    copy && copyPart ? '' : `it does not copy ${copy ? 'parts of uploads' : 'objects'} itself: bytes travel twice`,
    conditionalComplete
      ? ''
      : 'an upload in parts cannot be bound to a free key: only objects that are named by their digest are uploaded so',
    checksums ? '' : 'a wrong Content-MD5 is not refused: a torn body is found when it is read',
  ].filter((sentence) => sentence !== '');
}

const refusedKey = (s3: Config['s3'], settings: string, wish: string, error: unknown): GatewayRefused =>
  new GatewayRefused(
    `the key in ${settings}_ACCESS_KEY may not ${wish} in bucket ${s3.bucket} of ${s3.endpoint} (status ${statusOf(error)})`,
    `give it read and write permission to the bucket, or set ${settings}_ACCESS_KEY and ${settings}_SECRET_KEY to a key that has it`,
    { cause: error },
  );

async function mustHaveBucket(client: S3Client, s3: Config['s3'], settings: string): Promise<void> {
  try {
    await client.send(new HeadBucketCommand({ Bucket: s3.bucket }), { abortSignal: AbortSignal.timeout(answerMs) });
  } catch (error) {
    if (statusOf(error) === 404) {
      throw new GatewayRefused(
        `bucket ${s3.bucket} does not exist on ${s3.endpoint}`,
        `make it, or set ${settings}_BUCKET to one that exists`,
        {
          cause: error,
        },
      );
    }
    if ([401, 403].includes(statusOf(error))) throw refusedKey(s3, settings, 'look', error);
    throw new StoreUnavailable(
      `${s3.endpoint} does not answer as a store (${error instanceof Error ? error.name : 'error'}, status ${statusOf(error)})`,
      {
        cause: error,
      },
    );
  }
}

/** By the header of any answer, signed or not: the client itself corrects its clock silently. */
async function skewOf(endpoint: string): Promise<number> {
  const { headers } = await fetch(endpoint, { signal: AbortSignal.timeout(answerMs), redirect: 'manual' });
  const atMs = Date.parse(headers.get('date') ?? '');
  return Number.isNaN(atMs) ? 0 : Math.round((atMs - nowMs()) / 1_000) * 1_000;
}

/** One winner among writers at once, and none after: what publishing a version and every lease stand on. */
async function mustCreateOnly(client: S3Client, s3: Config['s3'], key: string, settings: string, versions: boolean): Promise<void> {
  const put = async (): Promise<boolean> => {
    try {
      await client.send(
        new PutObjectCommand({ Bucket: s3.bucket, Key: key, Body: text, ContentLength: text.byteLength, IfNoneMatch: '*' }),
      );
      return true;
    } catch (error) {
      if ([409, 412].includes(statusOf(error))) return false;
      if (statusOf(error) === 403) throw refusedKey(s3, settings, 'write', error);
      if ([400, 501].includes(statusOf(error))) return true;
      throw error;
    }
  };
  const atOnce = await Promise.all(Array.from({ length: writers }, put));
  const won = [...atOnce, await put()].filter(Boolean).length;
  if (won !== 1) {
    throw new GatewayRefused(
      `${s3.endpoint} ignores \`If-None-Match: *\` on PUT in bucket ${s3.bucket}${versions ? ', which keeps versions' : ''}: ${won} of ${writers + 1} writers of one new object won instead of 1`,
      'two publishers could overwrite each other. Use a gateway that honours it (Ceph 16.2 or newer, AWS S3, versitygw), directly and not through a ' +
        `proxy that drops headers, and a bucket without versioning${versions ? ', and so, on such a gateway, without object lock (MW_OBJECT_LOCK_DAYS=0)' : ''}`,
    );
  }
}

async function canRange(client: S3Client, bucket: string, key: string): Promise<boolean> {
  const { Body, $metadata } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key, Range: 'bytes=5-6' }));
  const bytes = await Body?.transformToByteArray();
  return $metadata.httpStatusCode === 206 && Buffer.from(bytes ?? []).equals(text.subarray(5, 7));
}

/** Whether a request is understood and done; what may pass is thrown. */
async function succeeds(request: () => Promise<unknown>): Promise<boolean> {
  try {
    await request();
    return true;
  } catch (error) {
    const status = statusOf(error);
    if (status === 0 || (status >= 500 && status !== 501)) throw error;
    return false;
  }
}

async function multipart(
  client: S3Client,
  bucket: string,
  folder: string,
): Promise<Pick<GatewayAbilities, 'copyPart' | 'conditionalComplete'>> {
  // The key is taken: an upload that is bound to a free one must not finish.
  const Key = `${folder}new`;
  const none = { copyPart: false, conditionalComplete: false };
  let UploadId: string | undefined;
  if (!(await succeeds(async () => ({ UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }))))))
    return none;
  const upload = { Bucket: bucket, Key, UploadId };
  try {
    let ETag: string | undefined;
    const copyPart = await succeeds(async () => {
      const { CopyPartResult } = await client.send(new UploadPartCopyCommand({ ...upload, PartNumber: 1, CopySource: `${bucket}/${Key}` }));
      ETag = CopyPartResult?.ETag;
    });
    if (!copyPart) return none;
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
    const completed = await succeeds(() =>
      client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload, IfNoneMatch: '*' })),
    );
    return { copyPart, conditionalComplete: !completed };
  } finally {
    await client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
  }
}

async function refusesWrongChecksum(client: S3Client, bucket: string, key: string): Promise<boolean> {
  const ContentMD5 = Buffer.alloc(16).toString('base64');
  return !(await succeeds(() =>
    client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: text, ContentLength: text.byteLength, ContentMD5 })),
  ));
}

/** Removes what this probe wrote, and what older ones left that died. */
async function cleanUp(client: S3Client, bucket: string, folder: string): Promise<void> {
  const isOurs = (key: string, atMs: number): boolean => key.startsWith(folder) || nowMs() - atMs > leftOverMs;
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
  const keys = Contents.flatMap(({ Key = '', LastModified }) => (isOurs(Key, LastModified?.getTime() ?? nowMs()) ? [Key] : []));
  await createS3ObjectStore(client, bucket).delete(keys, undefined, true);
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
  for (const { Key = '', UploadId, Initiated } of Uploads) {
    if (isOurs(Key, Initiated?.getTime() ?? nowMs())) await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  }
}
