import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VerificationActivities } from '../activities/ports.ts';
import { failure } from '../activities/failure.ts';
import type { CustomizationKey } from '../core/ids.ts';
import { taskQueues, verificationType, verifyAllType } from '../core/task-queues.ts';
import type { VerificationResult, VerificationTotals } from '../core/verification.ts';
import { prepareSchedules, verifyAllSchedule } from '../infra/temporal/schedules.ts';
import { parseSettings } from '../platform/config.ts';
import { WorkflowFixture, workflowBundle } from '../test/support/workflow-fixture.ts';

let fixture: WorkflowFixture;
const keys: CustomizationKey[] = Array.from({ length: 45 }, (_, i) => ({
  tenantId: `t${String(Math.floor(i / 5)).padStart(2, '0')}`,
  customizationId: `c${i % 5}`,
}));
let atOnce = 0;
let mostAtOnce = 0;
const compared: string[] = [];

const activities: VerificationActivities = {
  async verifyCustomization({ tenantId, customizationId }) {
    mostAtOnce = Math.max(mostAtOnce, ++atOnce);
    await sleep(5);
    atOnce -= 1;
    compared.push(`${tenantId}/${customizationId}`);
    if (tenantId === 't03' && customizationId === 'c1') throw failure('CustomizationGone', 'it was deleted');
    const violated = tenantId === 't07' && customizationId === 'c2';
    return { verdict: violated ? 'violated' : 'equal', ok: !violated } as VerificationResult;
  },
  listCustomizations: async ({ after, limit }) => {
    const from = after === null ? 0 : keys.findIndex((key) => JSON.stringify(key) === JSON.stringify(after)) + 1;
    return await Promise.resolve(keys.slice(from, from + limit));
  },
};

beforeAll(async () => {
  fixture = await WorkflowFixture.start();
});
afterAll(async () => await fixture.stop());

describe('the comparison of everything', () => {
  it('walks through all customizations, two at a time, and one that cannot be compared stops nothing', async () => {
    const connection = await NativeConnection.connect({ address: fixture.env.address });
    const workers = await Promise.all([
      Worker.create({ connection, taskQueue: taskQueues.dataset, activities }),
      Worker.create({ connection, taskQueue: taskQueues.orchestrator, workflowBundle: await workflowBundle() }),
    ]);
    const running = workers.map((worker) => worker.run());
    try {
      const totals: VerificationTotals = await fixture.env.client.workflow.execute(verifyAllType, {
        workflowId: 'all',
        taskQueue: taskQueues.orchestrator,
        args: [{ after: null, totals: { verified: 0, ok: 0, violated: 0, stalled: 0, failed: 0 } }],
      });
      expect(totals).toEqual({ verified: 45, ok: 43, violated: 1, stalled: 0, failed: 1 });
      expect(new Set(compared).size).toBe(45);
      expect(mostAtOnce).toBe(2);
      const one = fixture.env.client.workflow.execute(verificationType, {
        workflowId: 'one',
        taskQueue: taskQueues.orchestrator,
        args: [{ tenantId: 't03', customizationId: 'c1' }],
      });
      await expect(one).rejects.toMatchObject({ cause: { message: 'it was deleted' } });
    } finally {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
      await connection.close();
    }
  });
});

describe('its schedule', () => {
  it('is made, changed and removed as the setting says, and stays paused when a person paused it', async () => {
    const { client, address } = fixture.env;
    const connection = await Connection.connect({ address });
    const prepare = (minutes: string): Promise<void> =>
      prepareSchedules(connection, {
        temporal: { address, namespace: 'default' },
        settings: parseSettings({ MW_VERIFY_EVERY_MINUTES: minutes }),
      });
    const handle = client.schedule.getHandle(verifyAllSchedule);
    try {
      await prepare('60');
      await prepare('60');
      expect((await handle.describe()).spec.intervals?.[0]?.every).toBe(3_600_000);
      await handle.pause('maintenance');
      await prepare('15');
      const changed = await handle.describe();
      expect(changed.spec.intervals?.[0]?.every).toBe(900_000);
      expect(changed.state.paused).toBe(true);
      expect(changed.policies.overlap).toBe('SKIP');
      await prepare('0');
      await prepare('0');
      await expect(handle.describe()).rejects.toMatchObject({ name: 'ScheduleNotFoundError' });
    } finally {
      await connection.close();
    }
  });
});
