import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { nowMs } from '../platform/clock.ts';
import type { S3Place } from '../platform/config.ts';
import { GatewayRefused } from './gateway-refused.ts';
import { ObjectsLocked } from './object-locks.ts';
import { StoreUnavailable } from './object-store.ts';
import { keepsVersions, lockOfBucket, versionsOf } from './s3-locks.ts';
import { createS3ObjectStore } from './s3-object-store.ts';

type Place = { readonly client: S3Client; readonly s3: S3Place; readonly settings: string; readonly lockDays: number };

/** Enough for one try; removed at once with the right to bypass, and by a later probe without it. */
const triedMs = 60_000;
const page = 'docs/store/object-lock.md';
const text = Buffer.from('what a gateway locks');

/** What the bucket says of itself. Throws GatewayRefused where it locks what nobody asked for, or cannot lock although the settings ask for it. */
export async function lockAbilities({
  client,
  s3,
  settings,
  lockDays,
}: Place): Promise<{ readonly objectLock: boolean; readonly versions: boolean }> {
  const { enabled, byDefault } = await lockOfBucket(client, s3.bucket);
  if (byDefault)
    throw new GatewayRefused(
      `bucket ${s3.bucket} of ${s3.endpoint} locks every object that is stored, by a rule of its own`,
      `remove the default retention of the bucket (not its object lock): what runs stage could never be removed. MW_OBJECT_LOCK_DAYS locks promoted versions (${page})`,
    );
  if (lockDays > 0 && !enabled)
    throw new GatewayRefused(
      `MW_OBJECT_LOCK_DAYS is ${lockDays}, and bucket ${s3.bucket} of ${s3.endpoint} has no object lock`,
      `object lock can only be switched on when a bucket is made: make another one with it, copy what is in this one, and set ${settings}_BUCKET to it; or set MW_OBJECT_LOCK_DAYS=0 (${page})`,
    );
  return { objectLock: enabled, versions: await keepsVersions(client, s3.bucket) };
}

/** In a bucket that keeps versions a deletion is only one if it removes them: what else would a certificate of forgetting be worth? */
export async function mustDeleteVersions({ client, s3, settings }: Place, key: string): Promise<void> {
  const { bucket } = s3;
  const put = (): Promise<unknown> =>
    client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: text, ContentLength: text.byteLength }));
  const refused = (cause: unknown): GatewayRefused =>
    new GatewayRefused(
      `bucket ${bucket} of ${s3.endpoint} keeps versions, and the key in ${settings}_ACCESS_KEY cannot remove them`,
      'a deletion would only hide bytes. Give it the rights to list and delete versions (s3:ListBucketVersions, s3:DeleteObjectVersion), or use a bucket without versioning',
      { cause },
    );
  await put();
  await put();
  try {
    await createS3ObjectStore(client, bucket).delete([key]);
  } catch (error) {
    throw isForbidden(error) ? refused(error) : error;
  }
  if ((await versionsOf(client, bucket, key)).length > 0) throw refused(undefined);
}

const isForbidden = (error: unknown): boolean => error instanceof StoreUnavailable && /AccessDenied|status 403/.test(error.message);

/** A lock is taken, and holds against whoever does not bypass it. */
export async function mustLock({ client, s3, settings }: Place, key: string): Promise<void> {
  const store = createS3ObjectStore(client, s3.bucket);
  const refused = (what: string, cause?: unknown): GatewayRefused =>
    new GatewayRefused(
      `${s3.endpoint} ${what} in bucket ${s3.bucket}, although that has object lock`,
      `give the key in ${settings}_ACCESS_KEY the right to lock (s3:PutObjectRetention, s3:GetObjectRetention), use a gateway that honours it, or set MW_OBJECT_LOCK_DAYS=0 (${page})`,
      { cause },
    );
  await client.send(new PutObjectCommand({ Bucket: s3.bucket, Key: key, Body: text, ContentLength: text.byteLength }));
  try {
    await store.locks?.lock([key], nowMs() + triedMs);
  } catch (error) {
    throw /status (400|403|405|501)/.test((error as Error).message) || isForbidden(error)
      ? refused('takes no PutObjectRetention', error)
      : error;
  }
  try {
    await store.delete([key]);
  } catch (error) {
    if (error instanceof ObjectsLocked) return;
    throw error;
  }
  throw refused('deletes what is locked');
}
