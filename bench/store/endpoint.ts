import { CreateBucketCommand } from '@aws-sdk/client-s3';
import type { S3Place } from '../../platform/config.ts';
import { createS3Client } from '../../platform/s3.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { startTestStack } from '../../test/support/engines.ts';

/** Where everything of a benchmark is stored: what MW_S3_ENDPOINT and its keys name (a bucket of its own is made there), else a light server of its own. */
export async function benchEndpoint(): Promise<{ readonly s3: S3Place; readonly store: ObjectStore; readonly close: () => Promise<void> }> {
  const {
    MW_S3_ENDPOINT: endpoint,
    MW_S3_REGION: region = 'us-east-1',
    MW_S3_ACCESS_KEY: accessKey = '',
    MW_S3_SECRET_KEY: secretKey = '',
  } = process.env;
  if (endpoint === undefined) {
    const stack = await startTestStack({ engines: ['s3'] });
    const { s3 } = stack.config;
    console.log('endpoint: the light S3 server of the embedded default');
    return { s3, store: createS3ObjectStore(createS3Client(stack.config), s3.bucket), close: () => stack.remove() };
  }
  const s3 = { endpoint, region, bucket: `bench-${process.pid}`, accessKey, secretKey };
  const client = createS3Client({ s3 });
  await client.send(new CreateBucketCommand({ Bucket: s3.bucket }));
  const store = createS3ObjectStore(client, s3.bucket);
  console.log(`endpoint: ${endpoint}`);
  const close = async (): Promise<void> => {
    const keys: string[] = [];
    for await (const { key } of store.list('')) keys.push(key);
    await store.delete(keys);
    client.destroy();
  };
  return { s3, store, close };
}
