import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, ListObjectVersionsCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3';
import { s3Binary } from '../../infra/local/go-binaries.ts';
import { freePorts } from '../../infra/local/ports.ts';
import { probePort } from '../../infra/local/probes.ts';
import type { S3Place } from '../../platform/config.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { createS3Client } from '../../platform/s3.ts';

/** The light S3 server as it is where it keeps versions, as large gateways do: with a bucket with object lock, and one with versions alone. */
export async function startVersionedGateway() {
  const folder = await mkdtemp(join(tmpdir(), 'mw-versioned-'));
  const [port = 0] = await freePorts(1);
  for (const name of ['data', 'versions']) await mkdir(join(folder, name));
  const keys = { accessKey: 'versioned', secretKey: 'versioned-secret' };
  const args = ['--port', `127.0.0.1:${port}`, '--quiet', '--region', 'us-east-1', 'posix', '--versioning-dir', join(folder, 'versions')];
  const server: ChildProcess = spawn(s3Binary(resolvePaths(process.env)), [...args, join(folder, 'data')], {
    env: { ROOT_ACCESS_KEY: keys.accessKey, ROOT_SECRET_KEY: keys.secretKey },
    stdio: 'ignore',
  });
  const locked: S3Place = { endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', bucket: 'locked', ...keys };
  const versioned: S3Place = { ...locked, bucket: 'versioned' };
  for (;;) {
    try {
      await probePort(port);
      break;
    } catch (error) {
      if (server.exitCode !== null) throw error;
      await sleep(50);
    }
  }
  const client = createS3Client({ s3: locked });
  await client.send(new CreateBucketCommand({ Bucket: locked.bucket, ObjectLockEnabledForBucket: true }));
  await client.send(new CreateBucketCommand({ Bucket: versioned.bucket }));
  await client.send(new PutBucketVersioningCommand({ Bucket: versioned.bucket, VersioningConfiguration: { Status: 'Enabled' } }));
  return {
    locked,
    versioned,
    client,
    close: async () => {
      client.destroy();
      const ended = once(server, 'exit');
      server.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What a bucket has below a prefix, with all that no listing of objects shows. */
export async function everyVersion(s3: S3Place, prefix: string): Promise<string[]> {
  const client = createS3Client({ s3 });
  try {
    const { Versions = [], DeleteMarkers = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: s3.bucket, Prefix: prefix }));
    return [...Versions.map(({ Key = '' }) => Key), ...DeleteMarkers.map(({ Key = '' }) => `marker of ${Key}`)].sort();
  } finally {
    client.destroy();
  }
}
