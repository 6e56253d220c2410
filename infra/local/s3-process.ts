import { CreateBucketCommand, HeadBucketCommand } from '@aws-sdk/client-s3';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../platform/config.ts';
import { createS3Client } from '../../platform/s3.ts';
import { s3Binary } from './go-binaries.ts';
import type { ProcessSpec } from './process-spec.ts';
import { probePort } from './probes.ts';

export function s3Process(config: Config): ProcessSpec {
  const folder = config.paths.processDir('s3');
  const port = config.settings.MW_S3_PORT;
  return {
    name: 's3',
    after: [],
    ports: [{ port, variable: 'MW_S3_PORT' }],
    prepare: async () => void (await mkdir(join(folder, 'data'), { recursive: true })),
    command: s3Binary(config.paths),
    args: ['--port', `127.0.0.1:${port}`, '--quiet', '--region', config.s3.region, 'posix', join(folder, 'data')],
    env: { ROOT_ACCESS_KEY: config.s3.accessKey, ROOT_SECRET_KEY: config.s3.secretKey },
    probe: () => probePort(port),
    onReady: async () => {
      const client = createS3Client(config);
      try {
        await client.send(new HeadBucketCommand({ Bucket: config.s3.bucket }));
      } catch {
        await client.send(new CreateBucketCommand({ Bucket: config.s3.bucket }));
      } finally {
        client.destroy();
      }
    },
    readyDeadlineMs: 30_000,
    stopDeadlineMs: 10_000,
  };
}
