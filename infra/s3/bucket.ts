import { CreateBucketCommand, HeadBucketCommand, PutObjectLockConfigurationCommand, type S3Client } from '@aws-sdk/client-s3';
import type { Config } from '../../platform/config.ts';
import { createS3Client } from '../../platform/s3.ts';
import { lockOfBucket } from '../../store/s3-locks.ts';
import { statusOf } from '../../store/store-failure.ts';

/**
 * Makes the bucket unless it is there; `locks`: with object lock. The light S3 server also takes that for a bucket that is there; where a gateway does not,
 * the bucket stays as it is, and the probe of whoever needs the lock says so.
 */
export async function ensureBucket(config: Pick<Config, 's3'>, locks = false): Promise<void> {
  const client = createS3Client(config);
  const { bucket: Bucket } = config.s3;
  try {
    const isThere = await client.send(new HeadBucketCommand({ Bucket })).then(
      () => true,
      () => false,
    );
    if (!isThere) await client.send(new CreateBucketCommand({ Bucket, ...(locks ? { ObjectLockEnabledForBucket: true } : {}) }));
    else if (locks && !(await lockOfBucket(client, Bucket)).enabled) await switchOn(client, Bucket);
  } finally {
    client.destroy();
  }
}

async function switchOn(client: S3Client, Bucket: string): Promise<void> {
  const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled' } as const;
  try {
    await client.send(new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration }));
  } catch (error) {
    if (statusOf(error) === 0 || statusOf(error) >= 500) throw error;
  }
}
