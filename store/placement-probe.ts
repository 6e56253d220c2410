import { HeadBucketCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { randomUUID } from '../platform/clock.ts';
import type { S3Place } from '../platform/config.ts';
import { createS3Client } from '../platform/s3.ts';
import { type GatewayAbilities, probeGateway } from './gateway-probe.ts';
import { GatewayRefused } from './gateway-refused.ts';
import { createS3ObjectStore } from './s3-object-store.ts';
import { statusOf } from './store-failure.ts';

/** A place as `placesOf` lists them. */
export type ProbedPlace = { readonly settings: string; readonly placement: string | null; readonly s3: S3Place };

const standard = 'STANDARD';
const answerMs = 20_000;

/** Tries out a place as its objects will use it: the bucket, the class if one is named, and all that a gateway must do. Throws as `probeGateway`. */
export async function probePlace({ settings, placement, s3 }: ProbedPlace, lockDays = 0): Promise<GatewayAbilities> {
  if (placement !== null) await mustBeThere(s3, placement);
  return await probeGateway({ s3 }, settings, lockDays);
}

async function mustBeThere(s3: S3Place, placement: string): Promise<void> {
  const client = createS3Client({ s3 });
  const patience = () => ({ abortSignal: AbortSignal.timeout(answerMs) });
  const key = `probe/${randomUUID()}/class`;
  try {
    try {
      await client.send(new HeadBucketCommand({ Bucket: s3.bucket }), patience());
    } catch (error) {
      if (statusOf(error) === 404)
        throw new GatewayRefused(
          `bucket ${s3.bucket} of placement ${placement} does not exist on ${s3.endpoint}`,
          'make it, or name one that exists in the file of MW_PLACEMENTS',
          { cause: error },
        );
      // Whatever else is wrong, the probe of the gateway says.
      return;
    }
    const { storageClass } = s3;
    if (storageClass === undefined) return;
    const refused = (what: string, cause?: unknown): GatewayRefused =>
      new GatewayRefused(
        `${s3.endpoint} ${what} storage class ${storageClass} of placement ${placement} in bucket ${s3.bucket}`,
        'make the class there (docs/store/placement.md), or name one that it has in the file of MW_PLACEMENTS',
        { cause },
      );
    try {
      await client.send(new PutObjectCommand({ Bucket: s3.bucket, Key: key, Body: Buffer.from('class'), ContentLength: 5 }), patience());
    } catch (error) {
      if ([400, 501].includes(statusOf(error))) throw refused('does not take', error);
      return;
    }
    const { Contents: [found] = [] } = await client.send(new ListObjectsV2Command({ Bucket: s3.bucket, Prefix: key }), patience());
    if ((found?.StorageClass ?? standard) !== storageClass) throw refused('ignores');
  } finally {
    await createS3ObjectStore(client, s3.bucket)
      .delete([key])
      .catch(() => undefined);
    client.destroy();
  }
}
