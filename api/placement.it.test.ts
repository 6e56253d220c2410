import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { searchStore } from '../activities/forgetting/search.ts';
import { promoteModel } from '../activities/registry/promotions.ts';
import { createStoreCareActivities } from '../activities/store-care/store-care-activities.ts';
import { type ApiClient, createApiClient } from '../cli/api-client.ts';
import type { Predictions } from '../cli/api-types.ts';
import { usageLines } from '../cli/store.ts';
import { sha256Hex } from '../platform/hash.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { projectDir } from '../platform/paths.ts';
import { createS3Client } from '../platform/s3.ts';
import { keptEmbeddingsKey, stagingKey, tenantShardKey } from '../store/keys.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { openStore } from '../store/open-store.ts';
import { needlesOf } from '../store/raw-search.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { drawnNumbers, headPublisher, tenantForHeads } from '../test/support/published-heads.ts';
import { collectGarbage } from '../test/support/store-care-scene.ts';
import { newTenant, publishVersion, storedKeys } from '../test/support/stored-runs.ts';

let folder: string;
let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let buckets: Record<'main' | 'nvme', ObjectStore>;
let url: string;
let operator: ApiClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-placement-'));
  const file = join(folder, 'placements.json');
  await writeFile(file, JSON.stringify({ fast: { bucket: 'nvme' } }));
  stack = await startTestStack({ engines: ['mysql', 's3'], services: ['api', 'predictor'], env: { MW_PLACEMENTS: file } });
  pool = createPool(stack.config);
  store = openStore(stack.config, pool);
  const { s3 } = stack.config;
  const bucket = (name: string): ObjectStore => createS3ObjectStore(createS3Client({ s3 }), name);
  buckets = { main: bucket(s3.bucket), nvme: bucket('nvme') };
  url = `http://127.0.0.1:${stack.config.settings.MW_API_PORT}`;
  operator = createApiClient(url, stack.config.operatorKey);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
  await rm(folder, { recursive: true });
});

const care = () => ({
  pool,
  store: openStore(stack.config, pool),
  modelsDir: join(folder, 'none'),
  shardBytes: 1_048_576,
  retention: { keepVersions: 1, graceMs: 0, lockMs: 0 },
  scrubRounds: 1,
  beat: () => undefined,
});
const refusal = async (call: Promise<unknown>): Promise<object> =>
  await call.then(
    () => ({}),
    (error: unknown) => error as object,
  );
const keysOf = async (bucket: 'main' | 'nvme', tenant: string): Promise<string[]> => [
  ...(await storedKeys(buckets[bucket], `tenants/${tenant}/`)),
  ...(await storedKeys(buckets[bucket], `kept/${tenant}/`)),
];

describe('the placement of a tenant', () => {
  it('is set by the operator before anything is stored, and by nobody afterwards', async () => {
    const made = await operator.call<{ key: string }>('POST', '/v1/tenants', { id: 'early', name: 'Early', placement: 'fast' });
    expect(made).toMatchObject({ placement: 'fast' });
    await operator.call('POST', '/v1/tenants', { id: 'later', name: 'Later' });
    expect(await operator.call('GET', '/v1/tenants/later')).toMatchObject({ placement: null });
    expect(await operator.call('PATCH', '/v1/tenants/later', { placement: 'fast' })).toMatchObject({ placement: 'fast', name: 'Later' });
    expect(await operator.call('GET', '/v1/tenants/later')).toMatchObject({ placement: 'fast' });
    expect(await operator.call('PATCH', '/v1/tenants/later', { placement: null })).toMatchObject({ placement: null });
    expect(await operator.call('PATCH', '/v1/tenants/later', { placement: 'fast', name: 'New' })).toMatchObject({ name: 'New' });
    expect(await operator.call('PATCH', '/v1/tenants/later', { name: 'Later' })).toMatchObject({ placement: 'fast', name: 'Later' });
    expect(await operator.call('GET', '/v1/tenants')).toMatchObject({ items: [{ placement: 'fast' }, { placement: 'fast' }] });
    expect(await refusal(operator.call('PATCH', '/v1/tenants/later', { placement: 'cold' }))).toMatchObject({
      status: 400,
      message: expect.stringContaining('there is no placement cold in MW_PLACEMENTS: choose one of fast, or null for the default'),
    });
    expect(await refusal(createApiClient(url, made.key).call('PATCH', '/v1/tenants/early', { placement: null }))).toMatchObject({
      status: 403,
    });

    await newTenant(pool, 'later');
    await publishVersion(pool, store, { tenantId: 'later', customizationId: 'c' }, { shards: ['a shard'] });
    expect(await keysOf('main', 'later')).toEqual([]);
    expect(await refusal(operator.call('PATCH', '/v1/tenants/later', { placement: null, name: 'Changed' }))).toMatchObject({
      status: 409,
      message: expect.stringContaining('tenant later has stored something already: where it lies stays as it is'),
    });
    expect(await operator.call('GET', '/v1/tenants/later')).toMatchObject({ placement: 'fast', name: 'Later' });
    expect(await operator.call('PATCH', '/v1/tenants/later', { placement: 'fast' })).toMatchObject({ placement: 'fast' });
  });

  it('is looked after by `mw doctor`, which names a bucket that is not there', async () => {
    const wrong = join(folder, 'wrong.json');
    await writeFile(wrong, JSON.stringify({ fast: { bucket: 'not-there' } }));
    const { s3 } = stack.config;
    const own = { MW_S3_ENDPOINT: s3.endpoint, MW_S3_ACCESS_KEY: s3.accessKey, MW_S3_SECRET_KEY: s3.secretKey };
    const said = async (placements: string): Promise<string> => {
      const env = { ...stack.env, ...own, MW_PLACEMENTS: placements };
      const run = promisify(execFile)(join(projectDir, 'mw'), ['doctor', '--json'], { env });
      return await run.then(
        ({ stdout }) => stdout,
        (error: { readonly stdout: string }) => error.stdout,
      );
    };
    expect(await said(wrong)).toContain('bucket not-there of placement fast does not exist on');
    expect(await said(join(folder, 'nowhere.json'))).toContain('nowhere.json cannot be read as JSON');
    expect(await said(stack.env['MW_PLACEMENTS'] ?? '')).not.toContain('placement');
  });

  it('holds for what is published, answered from, given out, counted, searched, scrubbed and removed', async () => {
    const c = 'intents';
    const { dim, publish } = await headPublisher(stack, pool, store);
    const secrets = new Map<string, string>();
    for (const [tenant, placement] of [
      ['placed', 'fast'],
      ['usual', null],
    ] as const) {
      const key = await tenantForHeads(operator, pool, { tenantId: tenant, customizationId: c }, placement);
      secrets.set(tenant, key);
      const head = { labels: ['yes', 'no'], weights: drawnNumbers(tenant.length, 2 * dim), biases: new Float32Array(2) };
      await publish({ tenantId: tenant, customizationId: c, version: 1 }, head);
      const asked = { tenantId: tenant, customizationId: c, requestKey: tenant, version: 1, actor: 'test', reason: null };
      await promoteModel(pool, { ...asked, force: false, fence: null });
    }
    const where = { placed: 'nvme', usual: 'main' } as const;
    for (const [tenant, bucket] of Object.entries(where)) {
      expect((await keysOf(bucket, tenant)).length).toBeGreaterThan(2);
      expect(await keysOf(bucket === 'main' ? 'nvme' : 'main', tenant)).toEqual([]);
      const answer = await createApiClient(url, secrets.get(tenant) ?? '').call<Predictions>('POST', `/v1/customizations/${c}:predict`, {
        inputs: ['Where is my card?'],
      });
      expect(answer).toMatchObject({ version: 1, outputs: [{ label: expect.stringMatching(/yes|no/) }] });
      const env = { ...stack.env, MW_URL: url, MW_KEY: secrets.get(tenant) ?? '' };
      const { stdout } = await promisify(execFile)(join(projectDir, 'mw'), ['pull', `${c}@v1`, join(folder, tenant)], { env });
      expect(stdout).not.toBe('');
    }
    expect((await storedKeys(buckets.main, 'base/')).length).toBeGreaterThan(0);
    expect(await storedKeys(buckets.nvme, 'base/')).toEqual([]);

    const usage = await operator.call<{ items: { tenantId: string; models: { objects: number } }[] }>('GET', '/v1/store/usage');
    const counted = (await keysOf('nvme', 'placed')).length;
    expect(usage.items.find(({ tenantId }) => tenantId === 'placed')).toMatchObject({ placement: 'fast', models: { objects: counted } });
    expect(usageLines(usage.items as never, null).join('\n')).toMatch(/^placed +fast /m);
  });

  it('is given by the CLI to a new tenant and to one that is there', async () => {
    const env = { ...stack.env, MW_URL: url, MW_OPERATOR_KEY: stack.config.operatorKey };
    const mw = async (...args: readonly string[]) =>
      await promisify(execFile)(join(projectDir, 'mw'), ['tenant', 'by-hand', ...args], { env });
    const placement = async () => (await operator.call<{ placement: string | null }>('GET', '/v1/tenants/by-hand')).placement;
    await mw('--placement', 'fast');
    expect(await placement()).toBe('fast');
    await mw();
    expect(await placement()).toBe('fast');
    await mw('--placement', 'default');
    expect(await placement()).toBeNull();
    await expect(mw('--placement', 'slow')).rejects.toThrow(/there is no placement slow in MW_PLACEMENTS: choose one of fast/);
  });

  it('is where garbage is collected, damage found, texts searched for, and a deleted tenant’s objects removed', async () => {
    const key = { tenantId: 'cared', customizationId: 'c' };
    await operator.call('POST', '/v1/tenants', { id: 'cared', name: 'Cared', placement: 'fast' });
    await newTenant(pool, 'cared');
    for (let n = 1; n <= 3; n += 1) {
      const examples = [{ id: `e${n}`, split: 'train' as const, text: `An example, ${n}.` }];
      await publishVersion(pool, store, key, { shards: [`own ${n}`, 'shared'], examples }, true);
    }
    const secret = 'Quuxinella von Zanzibar';
    const staged = stagingKey({ ...key, run: 99 }, 1, 'eval.jsonl');
    for (const hiding of [staged, keptEmbeddingsKey(key)]) await store.putNew(hiding, Buffer.from(`{"text":"${secret}"}`));
    expect(await keysOf('main', 'cared')).toEqual([]);
    const salt = 'c'.repeat(32);
    const dependencies = care();
    const search = async () => await searchStore(dependencies, { ...key, number: 1 }, { needles: needlesOf([secret], salt), salt });
    const found = await search();
    expect(found.left).toEqual([staged, keptEmbeddingsKey(key)]);
    expect(found.unsearchable).toEqual([]);
    expect(found.objects).toBe((await keysOf('nvme', 'cared')).length);

    const shard = (text: string): string => tenantShardKey('cared', sha256Hex(text));
    await buckets.nvme.replace(shard('own 3'), Buffer.from('flipped'));
    const activities = createStoreCareActivities(dependencies);
    expect(await activities.scrubTenant({ tenantId: 'cared', share: null })).toMatchObject({ damaged: 1, missing: 0 });
    await buckets.nvme.replace(shard('own 3'), Buffer.from('own 3'));
    expect(await activities.scrubTenant({ tenantId: 'cared', share: null })).toMatchObject({ damaged: 0, missing: 0 });

    const dry = await collectGarbage(dependencies, 'dry', true);
    const report = await collectGarbage(dependencies, 'real');
    expect(report.removed).toEqual(dry.removed);
    expect(report.failed).toEqual([]);
    expect(await buckets.nvme.size(shard('own 1'))).toBeNull();
    expect(await buckets.nvme.size(shard('own 3'))).toBe(5);
    expect(await buckets.nvme.size(staged)).toBeNull();
    const kept = await keysOf('nvme', 'cared');
    expect(await storedKeys(store, 'tenants/cared/')).toEqual(kept.filter((one) => one.startsWith('tenants/')));

    await operator.call('DELETE', '/v1/tenants/cared');
    // Given again before its objects are gone: they are found, and whatever comes lies there too.
    expect(await operator.call('POST', '/v1/tenants', { id: 'cared', name: 'Again' })).toMatchObject({ placement: 'fast' });
    await operator.call('DELETE', '/v1/tenants/cared');
    await collectGarbage(care(), 'gone');
    expect(await keysOf('nvme', 'cared')).toEqual([]);
    // Of one that has stored nothing, nothing is left.
    await operator.call('POST', '/v1/tenants', { id: 'empty', name: 'Empty', placement: 'fast' });
    await operator.call('DELETE', '/v1/tenants/empty');
    expect(await operator.call('POST', '/v1/tenants', { id: 'empty', name: 'Empty' })).toMatchObject({ placement: null });
  });
});
