import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiClient, createApiClient } from '../cli/api-client.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import type { ModelManifest } from '../core/model.ts';
import type { GcReport, ScrubReport } from '../core/store-care.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { createS3Client } from '../platform/s3.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, sentences } from './support/live-tenant.ts';

let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let operator: ApiClient;

beforeAll(async () => {
  stack = await startTestStack({
    engines: engineNames,
    services: serviceNames,
    env: { MW_KEEP_VERSIONS: '1', MW_GC_GRACE_HOURS: '0' },
  });
  pool = createPool(stack.config);
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  operator = createApiClient(`http://127.0.0.1:${stack.config.settings.MW_API_PORT}`, stack.config.operatorKey);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

describe('the care for the store of a tenant that trains', () => {
  it('takes nothing that serves, may serve again or is shared; mends the base; and keeps a tenant within its quota', async () => {
    const tenant = await LiveTenant.make(stack, pool, 'cared');
    const models = `/v1/customizations/${tenant.c}/models`;
    for (let n = 0; n < 3; n++) await tenant.served(await tenant.submit(sentences(n * 90, (n + 1) * 90)));
    await tenant.reaches(['succeeded'], 3);

    const told = await operator.call<GcReport>('POST', '/v1/store/gc', { dryRun: true });
    const done = await operator.call<GcReport>('POST', '/v1/store/gc', {});
    expect({ ...done, dryRun: true }).toEqual(told);
    // v3 serves and is the newest, v2 is previous.
    expect(done).toMatchObject({ versions: 1, failed: [], deferred: [], removed: { base: { objects: 0 } } });
    expect(done.removed.models.objects).toBeGreaterThan(0);
    const whole = await operator.call<ScrubReport>('POST', '/v1/store/scrub');
    expect(whole).toMatchObject({ damaged: 0, missing: 0, failed: [], open: [] });
    expect(await tenant.predict('A recipe with cheese')).toMatchObject({ version: 3 });
    await tenant.api.call('POST', `/v1/customizations/${tenant.c}:rollback`);
    expect(await tenant.predict('A recipe with cheese')).toMatchObject({ version: 2 });

    const { shards } = await tenant.api.call<ModelManifest>('GET', `${models}/3/manifest`);
    const shared = shards.find(({ scope }) => scope === 'base');
    if (!shared) throw new Error('the version shares nothing');
    const damaged = Buffer.from(await store.read(shared));
    damaged[damaged.byteLength >> 1] = (damaged[damaged.byteLength >> 1] ?? 0) ^ 4;
    await store.replace(shared.key, damaged);
    expect(await operator.call<ScrubReport>('POST', '/v1/store/scrub')).toMatchObject({ damaged: 1, repaired: 1, open: [] });
    await expect(store.read(shared)).resolves.toBeDefined();

    await operator.call('PATCH', '/v1/tenants/cared', { quotas: { storageBytes: 1_000 } });
    await tenant.api.call('POST', `/v1/customizations/${tenant.c}:retrain`, { force: true });
    const refused = await tenant.reaches(['failed', 'succeeded'], 4);
    expect(refused).toMatchObject({ state: 'failed', failureClass: 'storage_quota', version: null });
    expect(refused.reason).toMatch(/may have 0\.0 MB in the store \(quota storageBytes\)/);
    expect(await tenant.count('model_versions')).toBe(3);
    await operator.call('PATCH', '/v1/tenants/cared', { quotas: {} });
    await tenant.api.call('POST', `/v1/customizations/${tenant.c}:retrain`, { force: true });
    expect(await tenant.reaches(['failed', 'succeeded', 'rejected'], 5)).not.toMatchObject({ state: 'failed' });
  });
});
