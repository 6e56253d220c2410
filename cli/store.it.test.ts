import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CustomizationKey } from '../core/ids.ts';
import { sha256Hex } from '../platform/hash.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { projectDir } from '../platform/paths.ts';
import { createS3Client } from '../platform/s3.ts';
import { tenantShardKey } from '../store/keys.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { newTenant, publishVersion } from '../test/support/stored-runs.ts';

const key: CustomizationKey = { tenantId: 'acme', customizationId: 'c' };
let stack: TestStack;
let pool: Pool;
let store: ObjectStore;

beforeAll(async () => {
  // Two versions stay, and garbage is old enough at once.
  const env = { MW_KEEP_VERSIONS: '2', MW_GC_GRACE_HOURS: '0' };
  stack = await startTestStack({ engines: ['mysql', 's3', 'temporal'], services: ['api', 'orchestrator', 'sharding'], env });
  pool = createPool(stack.config);
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  await newTenant(pool, 'acme', { storageBytes: 1_000_000 });
  for (let n = 1; n <= 5; n++) await publishVersion(pool, store, key, { shards: [`own ${n}`], base: ['the base'] }, n === 1);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

type Said = { readonly status: number | null; readonly stdout: string; readonly stderr: string };
async function mw(...args: readonly string[]): Promise<Said> {
  const child = spawn(process.execPath, [join(projectDir, 'cli/main.ts'), 'store', ...args], {
    env: stack.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString('utf8')));
  return { status: await new Promise((resolve) => child.once('close', resolve)), ...said };
}
async function json(...args: readonly string[]): Promise<{ readonly status: number | null; readonly answer: unknown }> {
  const { status, stdout, stderr } = await mw(...args, '--json');
  expect(stderr).toBe('');
  return { status, answer: JSON.parse(stdout) as unknown };
}
const shard = (n: number): string => tenantShardKey('acme', sha256Hex(`own ${n}`));

it('says who has how much', async () => {
  const { status, stdout } = await mw('usage');
  expect(status).toBe(0);
  expect(stdout).toMatch(/^tenant +placement +datasets +models +staging +quota$/m);
  expect(stdout).toMatch(/^acme .* of 976\.6 KiB$/m);
  expect(stdout).toMatch(/^shared by all: 8 B in 1 objects$/m);
  const { answer } = await json('usage');
  expect(answer).toMatchObject({ items: [{ tenantId: 'acme', models: { objects: 15 } }], base: { objects: 1, bytes: 8 } });
});

it('holds a version, removes what the retention lets go as a dry run has told, and lets a held one go when it is released', async () => {
  expect(await mw('hold', 'acme/c@v2', '--reason', 'an audit')).toMatchObject({
    status: 0,
    stdout: 'acme/c@v2 is kept until `./mw store release acme/c@v2`\n',
  });
  const { answer: told } = await json('gc', '--dry-run');
  expect(told).toMatchObject({ dryRun: true, versions: 1, failed: [] });
  expect(await store.size(shard(3))).not.toBeNull();
  const { status, stdout } = await mw('gc');
  expect([status, stdout]).toEqual([0, expect.stringContaining('1 versions and 1 datasets went from the registry')]);
  expect(await store.size(shard(3))).toBeNull();
  expect(await store.size(shard(2))).not.toBeNull();
  expect(await mw('release', 'acme/c@v2')).toMatchObject({ status: 0, stdout: 'acme/c@v2 is not held any more\n' });
  expect((await json('gc')).answer).toMatchObject({ dryRun: false, versions: 1 });
  expect(await store.size(shard(2))).toBeNull();
});

it('refuses what is no version, and one that is not there or was removed', async () => {
  expect(await mw('hold', 'acme/c')).toMatchObject({ status: 1, stderr: expect.stringContaining('is not TENANT/CUSTOMIZATION@VERSION') });
  expect((await mw('hold', 'acme/c@v99')).stderr).toMatch(/^mw: .*v99/);
  expect((await mw('hold', 'acme/c@v3')).stderr).toMatch(/^mw: v3 .*removed/);
});

it('reads everything; what is damaged and cannot be mended is named, and the status is 1', async () => {
  expect(await mw('scrub')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^read .* objects: all are whole\n$/) });
  await store.replace(shard(1), Buffer.from('OWN 1'));
  const { status, answer } = await json('scrub');
  expect([status, answer]).toMatchObject([1, { damaged: 1, repaired: 0, open: [expect.stringContaining(shard(1))] }]);
  const again = await mw('scrub');
  expect([again.status, again.stdout]).toEqual([1, expect.stringMatching(/NOT REPAIRED: acme: tenants/)]);
  await store.replace(shard(1), Buffer.from('own 1'));
  expect((await mw('scrub')).status).toBe(0);
});
