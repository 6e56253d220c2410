import { storeTensors } from '../../activities/sharding/store-tensors.ts';
import { createS3Client } from '../../platform/s3.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import type { S3Place } from '../../platform/config.ts';

// `node put-child.ts FILE PREFIX S3`: cuts a model into shards, hashes and stores them, as the sharding activity does.

const [file = '', prefix = '', place = ''] = process.argv.slice(2);
const s3 = JSON.parse(place) as S3Place;
const client = createS3Client({ s3 });
await storeTensors(
  createS3ObjectStore(client, s3.bucket),
  file,
  'tenant',
  (sha256) => `${prefix}/${sha256}`,
  () => undefined,
);
client.destroy();
