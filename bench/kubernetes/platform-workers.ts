import type { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { RunOutcome, RunTrigger } from '../../core/run.ts';
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

/** Starts all runs at once, each of a customization of its own, and waits for their ends. */
export async function startRuns(
  client: Client,
  pool: Pool,
  platform: FakePlatform,
  trainings: number,
  tenants: number,
): Promise<RunOutcome[]> {
  const keys = Array.from({ length: trainings }, (_, i) => ({ tenantId: `tenant-${i % tenants}`, customizationId: `c-${i}` }));
  for (let from = 0; from < keys.length; from += rowsAtOnce) {
    const rows = keys
      .slice(from, from + rowsAtOnce)
      .map(({ tenantId, customizationId }) => [
        tenantId,
        customizationId,
        'C',
        'text-classification',
        JSON.stringify({ resourceTier: tier }),
        '{}',
        'a'.repeat(32),
      ]);
    await pool.query(
      'INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt) VALUES ?',
      [rows],
    );
    // The janitor removes jobs of runs that it does not know.
    await pool.query(
      'INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind) VALUES ?',
      [
        keys
          .slice(from, from + rowsAtOnce)
          .map(({ tenantId, customizationId }) => [tenantId, customizationId, 1, requestKey, 'training', trigger]),
      ],
    );
  }
  const left = [...keys.entries()];
  const outcomes: Promise<RunOutcome>[] = [];
  await Promise.all(
    Array.from({ length: startsAtOnce }, async () => {
      for (let next = left.shift(); next; next = left.shift()) {
        const key = next[1];
        platform.create(key.customizationId).table.set('row', 'a text');
        const opened = { ...key, requestKey, trigger, reason: null };
        const { run } = await platform.control.openRun(opened);
        const input: TrainingRunInput = {
          ...key,
          run,
          trigger,
          reason: null,
          businessModel: 'text-classification',
          dirtyBuckets: null,
          force: false,
        };
        const handle = await client.workflow.start(trainingRunType, {
          workflowId: `tenant/${key.tenantId}/${key.customizationId}/run/${run}`,
          taskQueue: taskQueues.orchestrator,
          args: [input],
        });
        outcomes.push(handle.result() as Promise<RunOutcome>);
      }
    }),
  );
  return await Promise.all(outcomes);
}
