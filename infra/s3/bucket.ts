import { CreateBucketCommand, HeadBucketCommand } from '@aws-sdk/client-s3';
import type { Config } from '../../platform/config.ts';
import { createS3Client } from '../../platform/s3.ts';

/** Makes the bucket unless it is there. */
export async function ensureBucket(config: Pick<Config, 's3'>): Promise<void> {
  const client = createS3Client(config);
  try {
    await client.send(new HeadBucketCommand({ Bucket: config.s3.bucket }));
  } catch {
    await client.send(new CreateBucketCommand({ Bucket: config.s3.bucket }));
  } finally {
    client.destroy();
  }
}
