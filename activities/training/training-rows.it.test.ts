import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleep } from '../../platform/clock.ts';
import { type Pool, createPool } from '../../platform/mysql.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { gpuSecondsShown } from '../registry/gpu-use.ts';
import { raiseAttempt } from '../registry/runs.ts';
import { createProcessExecutor } from '../adapters/process-executor.ts';
import { watchBudget } from './budget-watch.ts';
import { removeOrphanedCaches } from './orphaned-caches.ts';
import { sweepJobs } from './sweep-jobs.ts';

let stack: TestStack;
let pool: Pool;

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql'] });
  pool = createPool(stack.config);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

describe('kept embeddings', () => {
  it('go with their customization, and only with it', async () => {
    const jobsDir = join(stack.home, 'jobs');
    const executor = createProcessExecutor({ jobsDir, python: 'none', trainerDir: 'none', warm: null, threads: 1 });
    expect(await removeOrphanedCaches(pool, executor)).toEqual([]);

    const keys = ['stays', 'goes'].map((customizationId) => ({ tenantId: 'acme', customizationId }));
    for (const key of keys) {
      await pool.query(
        "INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt) VALUES (?, ?, 'C', 'text-classification', '{}', '{}', ?)",
        [key.tenantId, key.customizationId, 'a'.repeat(32)],
      );
      await mkdir(join(executor.cacheDir(key), 'sentence-1'), { recursive: true });
      await writeFile(join(executor.cacheDir(key), 'sentence-1', 'a.seg'), 'embeddings');
    }
    // A job's own folder is not one of them.
    await mkdir(executor.workDir({ tenantId: 'acme', customizationId: 'goes', run: 1 }, 1), { recursive: true });
    expect(await removeOrphanedCaches(pool, executor)).toEqual([]);

    await pool.query("DELETE FROM modelwright.customizations WHERE customization_id = 'goes'");
    expect(await removeOrphanedCaches(pool, executor)).toEqual([keys[1]]);
    expect(keys.map((key) => existsSync(executor.cacheDir(key)))).toEqual([true, false]);
    expect(existsSync(executor.workDir({ tenantId: 'acme', customizationId: 'goes', run: 1 }, 1))).toBe(true);
    expect(await removeOrphanedCaches(pool, executor)).toEqual([]);
  });
});

describe('jobs', () => {
  it('of runs that have ended, or that nobody knows, are removed, and no others', async () => {
    const jobsDir = join(stack.home, 'jobs-of-runs');
    const executor = createProcessExecutor({ jobsDir, python: 'none', trainerDir: 'none', warm: null, threads: 1 });
    const key = (run: number) => ({ tenantId: 'acme', customizationId: 'news', run });
    for (const [run, state] of [
      [1, 'succeeded'],
      [2, 'training'],
      [3, 'cancelled'],
    ] as const)
      await pool.query(
        "INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind) VALUES ('acme', 'news', ?, ?, ?, 'changes')",
        [run, `r${run}`, state],
      );
    for (const [run, attempt] of [
      [1, 1],
      [2, 1],
      [2, 2],
      [3, 1],
      [9, 1],
    ] as const)
      await mkdir(executor.workDir(key(run), attempt), { recursive: true });
    expect(await sweepJobs(pool, executor, () => undefined)).toEqual({ removed: 3, kept: 1 });
    expect((await executor.jobs()).map(({ run }) => run)).toEqual([2, 2]);
    expect(await sweepJobs(pool, executor, () => undefined)).toEqual({ removed: 0, kept: 1 });
  });
});

describe('GPU seconds of an attempt', () => {
  it('are what its progress told last, until they are counted', async () => {
    const run = { tenantId: 'teller', customizationId: 'news', run: 1 };
    await pool.query(
      `INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind, progress)
       VALUES ('teller', 'news', 1, 'r1', 'training', 'changes', ?)`,
      [JSON.stringify({ job: { gpus: 2, gpuSeconds: 12.5 } })],
    );
    expect(await gpuSecondsShown(pool, { ...run, attempt: 1 })).toEqual({ gpuSeconds: 12.5 });
    expect(await gpuSecondsShown(pool, { ...run, attempt: 2 })).toEqual({});
    await raiseAttempt(pool, { ...run, attempt: 2, gpuSeconds: 12.5 });
    expect(await gpuSecondsShown(pool, { ...run, attempt: 2 })).toEqual({});
  });
});

describe('the GPU budget of a tenant', () => {
  it('ends what holds a GPU when it is used up, by all runs together, and nothing else', async () => {
    await pool.query('INSERT INTO modelwright_control.tenants (tenant_id, name, quotas) VALUES (?, ?, ?)', [
      'spender',
      'Spender',
      JSON.stringify({ gpuSecondsPerDay: 100 }),
    ]);
    const use = (run: number, gpuSeconds: number): Promise<unknown> =>
      pool.query(
        `INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind, progress)
         VALUES ('spender', 'news', ?, ?, 'training', 'changes', ?) ON DUPLICATE KEY UPDATE progress = VALUES(progress)`,
        [run, `r${run}`, JSON.stringify({ job: { gpuSeconds } })],
      );
    await use(1, 60);
    await use(2, 30);
    const [holds, holdsNone, unlimited] = [
      watchBudget(pool, 'spender', () => true, 50),
      watchBudget(pool, 'spender', () => false, 50),
      watchBudget(pool, 'nobody', () => true, 50),
    ];
    try {
      await sleep(300);
      expect(holds.signal.aborted).toBe(false);
      await use(2, 45);
      for (let i = 0; i < 100 && !holds.signal.aborted; i++) await sleep(50);
      expect([holds, holdsNone, unlimited].map(({ signal }) => signal.aborted)).toEqual([true, false, false]);
    } finally {
      for (const watch of [holds, holdsNone, unlimited]) watch.close();
    }
  });
});
