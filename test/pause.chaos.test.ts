import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiProblem, createApiClient } from '../cli/api-client.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { isAlive } from '../platform/process-identity.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';

let stack: TestStack;
let pool: Pool;

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames });
  pool = createPool(stack.config);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

type Paused = { readonly run: number; readonly paused: { readonly by: string; readonly reason: string | null } | null };
const refusal = async (asked: Promise<unknown>): Promise<unknown> => {
  const error: unknown = await asked.catch((thrown: unknown) => thrown);
  return error instanceof ApiProblem ? { status: error.status, message: error.message } : error;
};

/** Work folders of the tenant's jobs, by attempt, and whether a trainer lives in them. */
function jobs(tenantId: string): { readonly attempt: number; readonly alive: boolean; readonly steps: readonly number[] }[] {
  const { jobsDir } = stack.config.paths;
  return readdirSync(jobsDir)
    .filter((name) => name.startsWith(`${tenantId}.`))
    .sort()
    .map((name) => {
      const read = (file: string): string => (existsSync(join(jobsDir, name, file)) ? readFileSync(join(jobsDir, name, file), 'utf8') : '');
      const [pid = '', ticks = ''] = read('started').split(' ');
      const steps = read('progress.jsonl')
        .split('\n')
        .flatMap((line) => (line.endsWith('}') ? [JSON.parse(line) as { phase?: string; step?: number }] : []))
        .flatMap(({ phase, step }) => (phase === 'train' && step !== undefined ? [step] : []));
      return { attempt: Number(name.split('.').at(-1)), alive: isAlive(Number(pid), ticks), steps };
    });
}

describe('a training that is paused', () => {
  it('has no process any more when the pause is answered, and goes on from its checkpoint when it is resumed', async () => {
    const tenant = await LiveTenant.make(
      stack,
      pool,
      'pausing',
      { quietPeriodMs: 1_000 },
      { businessModel: 'text-classification', options: { method: 'full', epochs: 6 } },
    );
    await tenant.submit(sentences(0, 400));
    await eventually(
      'ten steps of the training',
      async () => (((await tenant.runs())[0]?.progress?.step ?? 0) >= 10 && jobs('pausing')[0]?.alive ? true : null),
      180_000,
    );
    const path = `/v1/customizations/${tenant.c}/runs/1`;
    expect(await refusal(tenant.api.call('POST', `${path}:resume`, {}))).toEqual({ status: 409, message: 'run 1 is not paused' });
    const answer = await tenant.api.call<Paused>('POST', `${path}:pause`, { reason: 'the processor is needed' });
    expect(answer).toMatchObject({ run: 1, paused: { by: expect.stringMatching(/^key /), reason: 'the processor is needed' } });
    expect(jobs('pausing').map(({ alive }) => alive)).toEqual([false]);
    expect(await tenant.api.call('GET', path)).toMatchObject({
      state: 'training',
      attempt: 1,
      paused: { reason: 'the processor is needed' },
    });
    expect(await refusal(tenant.api.call('POST', `${path}:pause`, {}))).toMatchObject({
      status: 409,
      message: expect.stringContaining('run 1 is paused already'),
    });
    const status = await tenant.api.call<{ why: string }>('GET', `/v1/customizations/${tenant.c}/status`);
    expect(status.why).toContain('run 1 is paused since');
    const done = Math.max(...(jobs('pausing')[0]?.steps ?? []));

    expect(await tenant.api.call('POST', `${path}:resume`, {})).toEqual({ run: 1, paused: null, resuming: false });
    const [, second] = await eventually(
      'a step of the second attempt',
      async () => {
        const now = jobs('pausing');
        return await Promise.resolve((now[1]?.steps.length ?? 0) > 0 ? now : null);
      },
      120_000,
    );
    // It begins where the checkpoint was written that the first one left when it was stopped.
    expect(second?.steps[0]).toBeGreaterThanOrEqual(done);
    const run = await tenant.reaches(['succeeded', 'rejected', 'failed', 'cancelled'], 1, 300_000);
    expect(run).toMatchObject({ state: 'succeeded', paused: null, attempt: 2 });
    expect(await refusal(tenant.api.call('POST', `${path}:pause`, {}))).toEqual({
      status: 409,
      message: 'run 1 has ended already: succeeded',
    });
  });
});

describe('a quota that an operator changes', () => {
  it('reaches the tenant by the log: what is due waits, and starts when it is allowed', async () => {
    const operator = createApiClient(`http://127.0.0.1:${stack.config.settings.MW_API_PORT}`, stack.config.operatorKey);
    const tenant = await LiveTenant.make(stack, pool, 'limited');
    await operator.call('PATCH', '/v1/tenants/limited', { quotas: { concurrentTrainings: 0 } });
    await tenant.submit(sentences(0, 120));
    const why = await eventually(
      'the reason',
      async () => {
        const status = await tenant.api.call<{ why: string }>('GET', `/v1/customizations/${tenant.c}/status`);
        return status.why.includes('concurrentTrainings') ? status.why : null;
      },
      60_000,
    );
    expect(why).toContain('waits: 0 of 0 trainings of this tenant run');
    expect(await tenant.count('runs')).toBe(0);
    await operator.call('PATCH', '/v1/tenants/limited', { quotas: {} });
    await tenant.reaches(['succeeded'], 1, 180_000);
  });
});
