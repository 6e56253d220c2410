import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import type { RunKey } from '../../core/ids.ts';
import type { TenantQuotas } from '../../core/quotas.ts';
import { type Pool, type RowDataPacket, createPool } from '../../platform/mysql.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import type { ControlActivities } from '../ports.ts';
import { createControlActivities } from './control-activities.ts';
import { gpuSecondsLeft } from './gpu-use.ts';

let stack: TestStack;
let pool: Pool;
let control: ControlActivities;
let tenants = 0;

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql'] });
  pool = createPool(stack.config);
  control = createControlActivities({ pool, catalog: await loadCatalog() });
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

/** A tenant of its own for each test, with one customization. */
async function tenant(
  quotas: TenantQuotas & { readonly [old: string]: number } = {},
): Promise<{ tenantId: string; customizationId: string }> {
  const key = { tenantId: `t${++tenants}`, customizationId: 'c' };
  await pool.query('INSERT INTO modelwright_control.tenants (tenant_id, name, quotas) VALUES (?, ?, ?)', [
    key.tenantId,
    key.tenantId,
    JSON.stringify(quotas),
  ]);
  await pool.query(
    "INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt) VALUES (?, ?, 'C', 'text-classification', '{}', '{}', ?)",
    [key.tenantId, key.customizationId, 'a'.repeat(32)],
  );
  return key;
}
async function training(key: { tenantId: string; customizationId: string }, requestKey: string): Promise<RunKey> {
  const { run } = await control.openRun({ ...key, requestKey, trigger: 'changes', reason: null });
  await control.recordRun({ ...key, run, state: 'training', stage: 'train' });
  return { ...key, run };
}
/** As the train activity shows it. */
const shows = (key: RunKey, gpuSeconds: number): Promise<unknown> =>
  pool.query('UPDATE modelwright_control.runs SET progress = ? WHERE tenant_id = ? AND customization_id = ? AND number = ?', [
    JSON.stringify({ phase: 'train', step: 7, job: { state: 'running', gpuSeconds } }),
    key.tenantId,
    key.customizationId,
    key.run,
  ]);
type Row = RowDataPacket & { paused: unknown; gpu_seconds: number | null; progress: unknown; attempt: number; state: string };
async function row(key: RunKey): Promise<Row | undefined> {
  const [rows] = await pool.query<Row[]>(
    'SELECT paused, gpu_seconds, progress, attempt, state FROM modelwright_control.runs WHERE tenant_id = ? AND customization_id = ? AND number = ?',
    [key.tenantId, key.customizationId, key.run],
  );
  return rows[0];
}
const pause = { sinceMs: 1_772_452_800_000, by: 'ann', reason: 'the GPU is needed' };

describe('the row of a run', () => {
  it('says that it is paused, without the job that is gone, until it goes on or ends', async () => {
    const key = await training(await tenant(), 'one');
    await shows(key, 10);
    await control.recordRun({ ...key, state: 'training', paused: pause, gpuSeconds: 12.5 });
    expect(await row(key)).toMatchObject({
      state: 'training',
      paused: pause,
      gpu_seconds: 12.5,
      progress: { phase: 'train', step: 7 },
    });
    expect((await row(key))?.progress).not.toHaveProperty('job');
    expect((await control.loadCustomization(key))?.lastRun).toEqual({ number: 1, state: 'training', paused: pause });
    await control.recordRun({ ...key, state: 'training', paused: null });
    expect(await row(key)).toMatchObject({ paused: null, gpu_seconds: 12.5 });
    await control.recordRun({ ...key, state: 'training', paused: pause });
    await control.recordRun({ ...key, state: 'cancelled', reason: 'cancelled on request', gpuSeconds: 12.5 });
    expect(await row(key)).toMatchObject({ state: 'cancelled', paused: null });
    expect(await control.loadRun(key)).toMatchObject({ state: 'cancelled', gpuSeconds: 12.5 });
    await control.recordRun({ ...key, state: 'training', paused: pause });
    expect(await row(key)).toMatchObject({ state: 'cancelled', paused: null });
  });

  it('keeps what earlier attempts have used when the token is raised, however often that is told', async () => {
    const key = await training(await tenant(), 'one');
    await shows(key, 10);
    await control.raiseAttempt({ ...key, attempt: 2, gpuSeconds: 11 });
    await control.raiseAttempt({ ...key, attempt: 3, gpuSeconds: 15 });
    await control.raiseAttempt({ ...key, attempt: 2, gpuSeconds: 11 });
    expect(await row(key)).toMatchObject({ attempt: 3, gpu_seconds: 15 });
    expect((await row(key))?.progress).not.toHaveProperty('job');
    const other = await training({ tenantId: key.tenantId, customizationId: 'c' }, 'two');
    await control.raiseAttempt({ ...other, attempt: 2 });
    expect(await row(other)).toMatchObject({ attempt: 2, gpu_seconds: null });
    await control.recordRun({ ...other, state: 'failed', reason: 'x' });
    expect(await control.loadRun(other)).not.toHaveProperty('gpuSeconds');
  });
});

describe('quotas of a tenant', () => {
  it('come with its customizations, those that mean nothing left out', async () => {
    const key = await tenant({ concurrentTrainings: 2, gpuSecondsPerDay: 100, seats: 5 });
    expect(await control.loadTenant(key)).toMatchObject({ quotas: { concurrentTrainings: 2, gpuSecondsPerDay: 100 }, gpuUse: [] });
    expect((await control.loadCustomization(key))?.tenantQuotas).toEqual({ concurrentTrainings: 2, gpuSecondsPerDay: 100 });
    expect(await control.loadTenant({ tenantId: 'nobody' })).toEqual({ customizations: [], quotas: {}, gpuUse: [] });
  });

  it('leave so many GPU seconds as its runs of the last day, and those that train now, have not used', async () => {
    const key = await tenant({ gpuSecondsPerDay: 100 });
    expect(await gpuSecondsLeft(pool, key.tenantId)).toBe(100);
    const old = await training(key, 'old');
    await control.recordRun({ ...old, state: 'failed', reason: 'x', gpuSeconds: 50 });
    await pool.query('UPDATE modelwright_control.runs SET ended_at = UTC_TIMESTAMP(6) - INTERVAL 25 HOUR WHERE tenant_id = ?', [
      key.tenantId,
    ]);
    const today = await training(key, 'today');
    await shows(today, 29);
    await control.recordRun({ ...today, state: 'cancelled', reason: 'x', gpuSeconds: 30 });
    expect(await gpuSecondsLeft(pool, key.tenantId)).toBe(70);
    const now = await training(key, 'now');
    await control.raiseAttempt({ ...now, attempt: 2, gpuSeconds: 20 });
    await shows(now, 15.5);
    expect(await gpuSecondsLeft(pool, key.tenantId)).toBe(34.5);
    expect((await control.loadTenant(key)).gpuUse).toEqual([
      { customizationId: 'c', run: today.run, atMs: expect.any(Number), gpuSeconds: 30 },
    ]);
    await pool.query('DELETE FROM modelwright.customizations WHERE tenant_id = ?', [key.tenantId]);
    expect((await control.loadTenant(key)).gpuUse).toHaveLength(1);
  });

  it('that are not set limit nothing', async () => {
    expect(await gpuSecondsLeft(pool, (await tenant({ concurrentTrainings: 1 })).tenantId)).toBeNull();
    expect(await gpuSecondsLeft(pool, 'nobody')).toBeNull();
  });
});
