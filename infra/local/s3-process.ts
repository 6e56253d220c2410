import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../platform/config.ts';
import { ensureBucket } from '../s3/bucket.ts';
import { placesOf } from '../../store/open-store.ts';
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
    // Whoever has this server has no other way to make the buckets of placements.
    onReady: async () => {
      for (const { name, s3 } of placesOf(config))
        if (name === 'first') await ensureBucket({ s3 }, config.settings.MW_OBJECT_LOCK_DAYS > 0);
    },
    readyDeadlineMs: 30_000,
    stopDeadlineMs: 10_000,
  };
}
