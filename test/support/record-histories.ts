import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { SchemaChange } from '../../core/schema-change.ts';
import { messageNames } from '../../core/tenant-messages.ts';
import { projectDir } from '../../platform/paths.ts';
import { FakePlatform } from './fake-platform.ts';
import { type TenantClient, WorkflowFixture, eventually } from './workflow-fixture.ts';

/**
 * Records the histories in test/histories that the replay test gates changes with: `node test/support/record-histories.ts [NAME...]`; with
 * names, only these are written.
 * Record anew only together with a change that is meant to break running workflows (and then keep the old ones and patch).
 */
const folder = join(projectDir, 'test', 'histories');

type Scenario = (platform: FakePlatform, tenant: TenantClient) => Promise<Readonly<Record<string, WorkflowHandle>>>;

const trainings = async (platform: FakePlatform, count: number): Promise<unknown> =>
  eventually(
    () => platform.customizations.get('c')?.trainings.length ?? 0,
    (n) => n >= count,
  );
const phase = async (tenant: TenantClient, wanted: string): Promise<unknown> =>
  eventually(
    () => tenant.status(),
    (status) => status.phase === wanted,
  );
const why = async (tenant: TenantClient, customizationId: string, word: string): Promise<unknown> =>
  eventually(
    () => tenant.status(customizationId),
    (status) => status.why.includes(word),
  );

const scenarios: readonly Scenario[] = [
  async (platform, tenant) => {
    platform.create('c');
    let release = (): void => undefined;
    platform.onTrain = ({ run }) => (run === 1 ? new Promise((resolve) => (release = resolve)) : Promise.resolve());
    const sense = (rows: Record<string, string | null>) => tenant.sense(platform.commit(tenant.tenantId, 'c', rows));
    await sense({ a: '1' });
    await trainings(platform, 1);
    await sense({ b: '1' });
    release();
    await trainings(platform, 2);
    await phase(tenant, 'idle');
    await sense({ b: '2' });
    await sense({ b: '1' });
    await eventually(
      () => platform.decisions.length,
      (n) => n === 1,
    );
    await tenant.update('rollbackModel', { customizationId: 'c' });
    await tenant.update('promoteModel', { customizationId: 'c', version: 2 });
    await tenant.update('pauseCustomization', { customizationId: 'c' });
    await tenant.update('resumeCustomization', { customizationId: 'c' });
    await phase(tenant, 'idle');
    return { 'tenant-runs-and-updates': tenant.handle, 'run-succeeded': tenant.run('c', 1) };
  },
  async (platform, tenant) => {
    platform.create('c');
    platform.failTrainings('OutOfMemory', 'Preempted', 'Hang', 'Diverged');
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    await trainings(platform, 5);
    await phase(tenant, 'idle');
    return { 'run-with-every-remedy': tenant.run('c', 1) };
  },
  async (platform, tenant) => {
    platform.create('c');
    platform.onTrain = () => new Promise(() => undefined);
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    await trainings(platform, 1);
    await tenant.update('cancelRun', { customizationId: 'c' });
    await phase(tenant, 'held');
    return { 'run-cancelled': tenant.run('c', 1), 'tenant-run-cancelled': tenant.handle };
  },
  async (platform, tenant) => {
    platform.create('c');
    platform.onTrain = ({ run }) => (run === 1 ? new Promise(() => undefined) : Promise.resolve());
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    await trainings(platform, 1);
    await tenant.run('c', 1).terminate('by an operator');
    await phase(tenant, 'held');
    await tenant.handle.signal(messageNames.retrain, { customizationId: 'c', force: true });
    await trainings(platform, 2);
    await phase(tenant, 'idle');
    return { 'tenant-run-lost': tenant.handle };
  },
  async (platform, tenant) => {
    platform.create('c');
    platform.failTrainings('InvalidData');
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    await phase(tenant, 'held');
    platform.verdict = 'hold';
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { b: '1' }));
    await trainings(platform, 2);
    await phase(tenant, 'idle');
    return { 'run-failed': tenant.run('c', 1), 'run-on-hold': tenant.run('c', 2) };
  },
  async (platform, tenant) => {
    const { schema } = platform.create('c');
    const change: SchemaChange = {
      customizationId: 'c',
      changeId: 'x:9/shop.reviews',
      table: 'shop.reviews',
      kind: 'column_renamed',
      effect: 'held',
      reason: 'shop.reviews: column body was renamed to text',
      schemaVersion: 2,
      gtid: 'x:9',
      atMs: 1_700_000_000_000,
    };
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    await phase(tenant, 'idle');
    schema.undecided.push(change);
    await tenant.handle.signal(messageNames.schemaChanged, change);
    await phase(tenant, 'held');
    await tenant.handle.signal(messageNames.retrain, { customizationId: 'c', force: true });
    await tenant.update('approveSchema', { customizationId: 'c', action: 'remap', columns: { text: 'text' } });
    await trainings(platform, 2);
    await phase(tenant, 'idle');
    schema.unreadable = { ...change, changeId: 'read/0/shop.reviews' };
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { b: '1' }));
    await phase(tenant, 'held');
    await tenant.update('approveSchema', { customizationId: 'c', action: 'approve' });
    await trainings(platform, 3);
    await phase(tenant, 'idle');
    await tenant.handle.signal(messageNames.schemaChanged, { ...change, changeId: 'x:10/shop.reviews', effect: 'rebuild', retrain: true });
    await trainings(platform, 4);
    await phase(tenant, 'idle');
    return { 'tenant-schema-held': tenant.handle };
  },
  async (platform, tenant) => {
    platform.create('c');
    platform.gpuSeconds = 10;
    platform.onTrain = ({ attempt }) => (attempt < 3 ? new Promise(() => undefined) : Promise.resolve());
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    for (const attempt of [1, 2]) {
      await trainings(platform, attempt);
      await tenant.update('pauseRun', { customizationId: 'c', actor: 'ann', reason: 'the GPU is needed' });
      await tenant.update('pauseRun', { customizationId: 'c' }).catch(() => undefined);
      await tenant.update('resumeRun', { customizationId: 'c' });
    }
    await trainings(platform, 3);
    await phase(tenant, 'idle');
    return { 'run-paused': tenant.run('c', 1), 'tenant-run-paused': tenant.handle };
  },
  async (platform, tenant) => {
    platform.create('c');
    platform.onTrain = () => new Promise(() => undefined);
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    await trainings(platform, 1);
    await tenant.update('pauseRun', { customizationId: 'c' });
    await tenant.update('cancelRun', { customizationId: 'c' });
    await phase(tenant, 'held');
    await tenant.handle.signal(messageNames.retrain, { customizationId: 'c', force: true });
    await trainings(platform, 2);
    await tenant.update('cancelRun', { customizationId: 'c' });
    await phase(tenant, 'held');
    return { 'run-paused-and-cancelled': tenant.run('c', 1), 'run-cancelled-while-it-trains': tenant.run('c', 2) };
  },
  async (platform, tenant) => {
    platform.quotas = { concurrentTrainings: 1, gpuSecondsPerDay: 15 };
    platform.gpuSeconds = 10;
    for (const id of ['c', 'd', 'e']) platform.create(id);
    let release = (): void => undefined;
    platform.onTrain = () => new Promise((resolve) => (release = resolve));
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    await trainings(platform, 1);
    for (const id of ['d', 'e']) await tenant.sense(platform.commit(tenant.tenantId, id, { a: '1' }));
    await why(tenant, 'e', 'concurrentTrainings');
    release();
    await eventually(
      () => platform.customizations.get('d')?.trainings.length ?? 0,
      (n) => n === 1,
    );
    release();
    await why(tenant, 'e', 'gpuSecondsPerDay');
    return { 'tenant-quotas': tenant.handle };
  },
  async (platform, tenant) => {
    platform.create('c');
    platform.failWith({ largerTier: true }, 'OutOfMemory', 'OutOfMemory', 'OutOfMemory', 'OutOfMemory');
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1' }));
    await trainings(platform, 5);
    await phase(tenant, 'idle');
    return { 'run-on-a-larger-tier': tenant.run('c', 1), janitor: await tenant.sweep() };
  },
  async (platform, tenant) => {
    for (const id of ['a', 'b', 'c']) platform.create(id);
    return { verification: await tenant.compare('c'), 'verify-all': await tenant.compare() };
  },
  async (platform, tenant) => {
    platform.create('c');
    return { 'store-gc': await tenant.careForStore('gc'), 'store-scrub': await tenant.careForStore('scrub') };
  },
  async (platform, tenant) => {
    platform.create('c');
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: '1', b: '1' }));
    await trainings(platform, 1);
    await phase(tenant, 'idle');
    platform.forgettings.set('c/1', {
      ids: ['a'],
      deadlineAtMs: Date.now() + 600_000,
      held: new Set(),
      withdrawn: new Set(),
      waitsFor: [],
      certified: 0,
    });
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { a: null }));
    return { forget: await tenant.forget('c', 1) };
  },
];

/** Without what names the machine that recorded it. */
const scrub = (json: string): string =>
  json
    .replaceAll(/(?:file:\/\/)?\/[^"\\ ()]*\/((?:node_modules|test|activities|core|workflows)\/)/g, '$1')
    .replaceAll(/("(?:identity|workerId)":\s*)"[^"]*"/g, '$1"recorded"')
    // Queues of a worker's own have its host in their name.
    .replaceAll(/("name":\s*)"\d+@[^"]*"/g, '$1"recorded"');

const only = process.argv.slice(2);
const fixture = await WorkflowFixture.start();
try {
  mkdirSync(folder, { recursive: true });
  for (const scenario of scenarios) {
    const platform = new FakePlatform();
    await fixture.work(platform);
    const handles = await scenario(platform, fixture.tenant());
    for (const [name, handle] of Object.entries(handles).filter(([name]) => only.length === 0 || only.includes(name)))
      writeFileSync(join(folder, `${name}.json`), `${scrub(historyToJSON(await handle.fetchHistory()))}\n`);
    await fixture.stopWorkers();
  }
} finally {
  await fixture.stop();
}
