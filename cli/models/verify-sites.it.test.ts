import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Pool, createPool } from '../../platform/mysql.ts';
import { projectDir } from '../../platform/paths.ts';
import { createS3Client } from '../../platform/s3.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { drawnNumbers, headPublisher, tenantForHeads } from '../../test/support/published-heads.ts';
import { storedKeys } from '../../test/support/stored-runs.ts';
import { twoSiteStore } from '../../test/support/two-site-store.ts';
import { createApiClient } from '../api-client.ts';
import type { VerifiedVersion } from './verify-version.ts';

let first: TestStack;
let second: TestStack;
let pool: Pool;
let key: string;
let sites: Record<'first' | 'second', ObjectStore>;

beforeAll(async () => {
  second = await startTestStack({ engines: ['s3'] });
  const { s3 } = second.config;
  first = await startTestStack({
    engines: ['mysql', 's3'],
    services: ['api'],
    env: {
      MW_S3_SECOND_ENDPOINT: s3.endpoint,
      MW_S3_SECOND_BUCKET: s3.bucket,
      MW_S3_SECOND_ACCESS_KEY: s3.accessKey,
      MW_S3_SECOND_SECRET_KEY: s3.secretKey,
    },
  });
  pool = createPool(first.config, { connectionLimit: 2 });
  const { store, ...both } = twoSiteStore([first.config.s3, s3]);
  sites = both;
  const url = `http://127.0.0.1:${first.config.settings.MW_API_PORT}`;
  const of = { tenantId: 'acme', customizationId: 'c' };
  key = await tenantForHeads(createApiClient(url, first.config.operatorKey), pool, of);
  const { dim, publish } = await headPublisher(first, pool, store);
  const head = { labels: ['a', 'b'], weights: drawnNumbers(1, 2 * dim), biases: new Float32Array(2) };
  await publish({ ...of, version: 1 }, head);
});
afterAll(async () => {
  await pool?.end();
  await first?.remove();
  await second?.remove();
});

async function verify(
  ...args: readonly string[]
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [join(projectDir, 'cli/main.ts'), 'models', 'verify', 'c@v1', ...args], {
    env: { ...first.env, MW_KEY: key },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString('utf8')));
  return { status: await new Promise((resolve) => child.once('close', resolve)), ...said };
}
const faultsOf = async (): Promise<VerifiedVersion['faults']> => (JSON.parse((await verify('--json')).stdout) as VerifiedVersion).faults;

describe('`mw models verify` of a store on two sites', () => {
  it('reads both, and says which one is damaged, or is not there', async () => {
    expect(await verify()).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^ok: v1 of c in the store \(read on the first and the second site\): /m),
    });
    const [shard = ''] = await storedKeys(sites.first, 'tenants/acme/shards/');
    const [manifest = ''] = await storedKeys(sites.first, 'tenants/acme/c/models/');
    const { s3 } = second.config;
    await createS3Client({ s3 }).send(new PutObjectCommand({ Bucket: s3.bucket, Key: shard, Body: 'wrong bytes' }));
    const published = await buffer(await sites.first.stream(manifest));
    await sites.first.delete([manifest]);
    expect(await faultsOf()).toMatchObject([
      { path: 'manifest.json', site: 'first', what: 'missing' },
      { path: shard, site: 'second', what: 'damaged' },
    ]);
    const { status, stdout } = await verify();
    expect([status, stdout]).toEqual([1, expect.stringMatching(/damaged +\S+ on the second site .*\n.*the other site has it right/s)]);
    expect((await verify('--site', 'second')).stdout).not.toContain('first');
    await sites.first.replace(manifest, published);
    await second.pause('s3');
    expect((await faultsOf()).filter(({ site, what }) => site === 'second' && what === 'unreadable').length).toBeGreaterThan(1);
    await second.resume('s3');
  });

  it('reads one where it is asked to, and refuses a site that there is not', async () => {
    const first = await verify('--site', 'first', '--json');
    expect(JSON.parse(first.stdout)).toMatchObject({ ok: true, sites: ['first'], faults: [] });
    expect(await verify('--site', 'third')).toMatchObject({ status: 1, stderr: 'mw: --site is one of first, second\n' });
    expect((await verify('somewhere', '--site', 'first')).stderr).toContain('says nothing about a folder');
  });
});
