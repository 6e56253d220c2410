import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { CustomizationKey } from '../../core/ids.ts';
import { type RunState, type RunTrigger, endedRunStates } from '../../core/run.ts';
import { taskQueues, trainingRunType } from '../../core/task-queues.ts';
import type { Config } from '../../platform/config.ts';
import type { Pool } from '../../platform/mysql.ts';
import type { FakePlatform } from '../../test/support/fake-platform.ts';
import { bundleWorkflows } from '../../workers/workflow-bundle.ts';
import type { TrainingRunInput } from '../../workflows/training-run.ts';
import { tier } from './scene.ts';

/** The real workflows, and a table in memory for what is not measured. Returns what stops them. */
export async function startPlatformWorkers(config: Config, platform: FakePlatform): Promise<() => Promise<void>> {
  const connection = await NativeConnection.connect({ address: config.temporal.address });
  const workflowBundle = { code: await bundleWorkflows() };
  const workers = [
    await Worker.create({ connection, taskQueue: taskQueues.orchestrator, activities: platform.control, workflowBundle }),
    await Worker.create({ connection, taskQueue: taskQueues.dataset, activities: platform.dataset }),
    await Worker.create({ connection, taskQueue: taskQueues.sharding, activities: platform.sharding }),
  ];
  const ended = workers.map(async (worker) => await worker.run());
  return async () => {
    for (const worker of workers) worker.shutdown();
    await Promise.all(ended);
    await connection.close();
  };
}

const rowsAtOnce = 500;
const startsAtOnce = 16;
const requestKey = 'bench';
const trigger: RunTrigger = 'retrain';
const businessModel = 'text-classification';
const lookEveryMs = 200;
/** So long no run has ended: none will. */
const givenUpAfterMs = 300_000;

/** What became of a run, as the platform has it on record. */
export type Ended = { readonly customizationId: string; readonly state: RunState; readonly reason: string | null };

/** Starts all runs at once, each of a customization of its own, and waits for their ends, or until none has ended for long. */
export async function trainAll(
  client: Client,
  pool: Pool,
  platform: FakePlatform,
  trainings: number,
  tenants: number,
): Promise<readonly Ended[]> {
  const keys = Array.from({ length: trainings }, (_, i) => ({ tenantId: `tenant-${i % tenants}`, customizationId: `c-${i}` }));
  for (let from = 0; from < keys.length; from += rowsAtOnce) await insertRows(pool, keys.slice(from, from + rowsAtOnce));
  const left = [...keys];
  await Promise.all(
    Array.from({ length: startsAtOnce }, async () => {
      for (let key = left.shift(); key; key = left.shift()) await startRun(client, platform, key);
    }),
  );
  // The server lets a client wait for some hundreds of workflows at once, not for thousands.
  let [ended, endedAt] = [0, performance.now()];
  for (;;) {
    const runs = keys.map(({ customizationId }) => {
      const { state = 'queued', reason = null } = platform.customizations.get(customizationId)?.runs[0] ?? {};
      return { customizationId, state, reason };
    });
    const now = runs.filter(({ state }) => endedRunStates.includes(state)).length;
    if (now > ended) [ended, endedAt] = [now, performance.now()];
    if (now === trainings || performance.now() - endedAt > givenUpAfterMs) return runs;
    await sleep(lookEveryMs);
  }
}

async function insertRows(pool: Pool, keys: readonly CustomizationKey[]): Promise<void> {
  await pool.query(
    'INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt) VALUES ?',
    [
      keys.map(({ tenantId, customizationId }) => [
        tenantId,
        customizationId,
        'C',
        businessModel,
        JSON.stringify({ resourceTier: tier }),
        '{}',
        'a'.repeat(32),
      ]),
    ],
  );
  // The janitor removes jobs of runs that it does not know.
  await pool.query(
    'INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind) VALUES ?',
    [keys.map(({ tenantId, customizationId }) => [tenantId, customizationId, 1, requestKey, 'training', trigger])],
  );
}

async function startRun(client: Client, platform: FakePlatform, key: CustomizationKey): Promise<void> {
  platform.create(key.customizationId).table.set('row', 'a text');
  const { run } = await platform.control.openRun({ ...key, requestKey, trigger, reason: null });
  const input: TrainingRunInput = { ...key, run, trigger, reason: null, businessModel, dirtyBuckets: null, force: false };
  await client.workflow.start(trainingRunType, {
    workflowId: `tenant/${key.tenantId}/${key.customizationId}/run/${run}`,
    taskQueue: taskQueues.orchestrator,
    args: [input],
  });
}
