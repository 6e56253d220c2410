import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiClient, createApiClient } from '../cli/api-client.ts';
import { gcLines, scrubLines, usageLines } from '../cli/store.ts';
import type { CustomizationKey } from '../core/ids.ts';
import type { GcReport, ScrubReport } from '../core/store-care.ts';
import { storeScrubType, taskQueues } from '../core/task-queues.ts';
import { sha256Hex } from '../platform/hash.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { createS3Client } from '../platform/s3.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import { tenantShardKey } from '../store/keys.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { newTenant, publishVersion, storedKeys } from '../test/support/stored-runs.ts';

let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let operator: ApiClient;
let tenant: ApiClient;
const key: CustomizationKey = { tenantId: 'acme', customizationId: 'c' };

/** Settings that are not the defaults: two versions, no grace, five rounds. */
const env = { MW_KEEP_VERSIONS: '2', MW_GC_GRACE_HOURS: '0', MW_SCRUB_ROUNDS: '5' };

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3', 'temporal'], services: ['api', 'orchestrator', 'sharding'], env });
  pool = createPool(stack.config);
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  const url = `http://127.0.0.1:${stack.config.settings.MW_API_PORT}`;
  operator = createApiClient(url, stack.config.operatorKey);
  const { key: secret } = await operator.call<{ key: string }>('POST', '/v1/tenants', {
    id: 'acme',
    name: 'Acme',
    quotas: { storageBytes: 1_000_000 },
  });
  tenant = createApiClient(url, secret);
  await newTenant(pool, 'acme');
  for (let n = 1; n <= 5; n++) await publishVersion(pool, store, key, { shards: [`own ${n}`], base: ['the base'] }, n === 1);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

const refusal = async (call: Promise<unknown>): Promise<object> =>
  await call.then(
    () => ({}),
    (error: unknown) => error as object,
  );
const hold = '/v1/tenants/acme/customizations/c/models/2/hold';

describe('the care for the store, through the API', () => {
  it('counts what a tenant has, for itself and for the operator, and nothing for others', async () => {
    const own = await tenant.call<{ models: { objects: number }; countedBytes: number }>('GET', '/v1/storage');
    expect(own).toMatchObject({ tenantId: 'acme', datasets: { objects: 10 }, staging: { objects: 5 }, quotaBytes: 1_000_000 });
    // Five shards, manifests and judgements.
    expect(own.models.objects).toBe(15);
    expect(await operator.call('GET', '/v1/tenants/acme/storage')).toEqual(own);
    const usage = await operator.call<{ items: never[]; base: { objects: number; bytes: number } }>('GET', '/v1/store/usage');
    expect(usage).toMatchObject({ items: [own], base: { objects: 1, bytes: 8 } });
    expect(usageLines(usage.items, usage.base).join('\n')).toMatch(/acme .* of 976\.6 KiB\nshared by all: 8 B in 1 objects/);
    for (const path of ['/v1/tenants/acme/storage', '/v1/store/usage', '/v1/store/rounds', '/v1/store/damages'])
      expect(await refusal(tenant.call('GET', path))).toMatchObject({ status: 403 });
    for (const path of ['/v1/store/gc', '/v1/store/scrub']) expect(await refusal(tenant.call('POST', path))).toMatchObject({ status: 403 });
    expect(await refusal(tenant.call('PUT', hold))).toMatchObject({ status: 403 });
    expect(await refusal(operator.call('GET', '/v1/tenants/nobody/storage'))).toMatchObject({ status: 404 });
  });

  it('tells what would go, removes it, and goes by the settings and by what an operator holds', async () => {
    await operator.call('PUT', hold, { reason: 'an audit' });
    expect(await tenant.call('GET', '/v1/customizations/c/models/2')).toMatchObject({ held: true });
    const told = await operator.call<GcReport>('POST', '/v1/store/gc', { dryRun: true });
    // v1 serves, v2 is held, v4 and v5 are the newest two.
    expect(told).toMatchObject({ dryRun: true, versions: 1, tenants: [{ tenantId: 'acme', versions: 1 }], failed: [], deferred: [] });
    const headers = { 'idempotency-key': 'one round' };
    const done = await operator.call<GcReport>('POST', '/v1/store/gc', { dryRun: false }, headers);
    expect({ ...done, dryRun: true }).toEqual(told);
    // The same request again is the same round.
    expect(await operator.call('POST', '/v1/store/gc', { dryRun: false }, headers)).toEqual(done);
    expect(gcLines(done)[0]).toMatch(/^removed {2,}objects/);
    expect(await store.size(tenantShardKey('acme', sha256Hex('own 3')))).toBeNull();
    expect(await tenant.call('GET', '/v1/customizations/c/models/3')).toHaveProperty('removed');
    for (const path of ['models/3/manifest', 'models/3/files', 'models/3/examples'])
      expect(await refusal(tenant.call('GET', `/v1/customizations/c/${path}`))).toMatchObject({ status: 410, code: 'version_removed' });
    expect(await refusal(operator.call('PUT', hold.replace('/2/', '/3/')))).toMatchObject({ status: 410 });
    for (const n of [1, 2, 4, 5])
      expect(await tenant.call('GET', `/v1/customizations/c/models/${n}/manifest`)).toMatchObject({ version: n });
    await operator.call('DELETE', hold);
    expect(await operator.call<GcReport>('POST', '/v1/store/gc', {})).toMatchObject({ versions: 1 });
    expect(await refusal(tenant.call('GET', '/v1/customizations/c/models/2/manifest'))).toMatchObject({ status: 410 });
  });

  it('shows damage where people look, and reads a share of everything by the schedule', async () => {
    expect(await operator.call<ScrubReport>('POST', '/v1/store/scrub')).toMatchObject({ damaged: 0, missing: 0, open: [], share: null });
    const shard = tenantShardKey('acme', sha256Hex('own 1'));
    await store.replace(shard, Buffer.from('OWN 1'));
    const found = await operator.call<ScrubReport>('POST', '/v1/store/scrub');
    expect(found).toMatchObject({ damaged: 1, repaired: 0, open: [expect.stringContaining(shard)] });
    expect(scrubLines(found).join('\n')).toMatch(/1 damaged, 0 missing, 0 of them repaired\nNOT REPAIRED: acme: tenants/);
    expect(await tenant.call('GET', '/v1/customizations/c/models/1')).toMatchObject({
      damaged: { detail: expect.stringContaining(shard) },
    });
    expect(await operator.call('GET', '/v1/store/damages')).toMatchObject({ items: [{ key: shard, what: 'damaged', repairedAt: null }] });
    expect(await operator.call('GET', '/v1/sensing')).toMatchObject({
      conditions: [{ code: 'stored_object_damaged', subject: 'acme', state: 'open' }],
    });
    const temporal = createTemporalClient(stack.config);
    try {
      const report: unknown = await temporal.client.workflow.execute(storeScrubType, {
        workflowId: 'by the schedule',
        taskQueue: taskQueues.orchestrator,
        args: [{ everything: false }],
      });
      expect(report).toMatchObject({ share: { index: 0, of: 5 } });
    } finally {
      await temporal.close();
    }
    const { items } = await operator.call<{ items: { kind: string; endedAt: string | null }[] }>('GET', '/v1/store/rounds');
    expect(items.map(({ kind }) => kind)).toEqual(['scrub', 'scrub', 'scrub', 'gc', 'gc', 'gc-dry-run']);
    expect(items.every(({ endedAt }) => endedAt !== null)).toBe(true);
    expect((await storedKeys(store, 'care/')).length).toBe(0);
  });
});
