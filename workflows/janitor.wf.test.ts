import { Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { janitorType, taskQueues } from '../core/task-queues.ts';
import { janitorSchedule, prepareSchedules } from '../infra/temporal/schedules.ts';
import { parseSettings } from '../platform/config.ts';
import { FakePlatform } from '../test/support/fake-platform.ts';
import { WorkflowFixture, eventually } from '../test/support/workflow-fixture.ts';

let fixture: WorkflowFixture;
const platform = new FakePlatform();
beforeAll(async () => {
  fixture = await WorkflowFixture.start();
  await fixture.work(platform);
}, 60_000);
afterAll(() => fixture.stop(), 60_000);

describe('the janitor', { timeout: 60_000 }, () => {
  it('sweeps, again where the cluster was away, and tells what it removed', async () => {
    let away = true;
    platform.onActivity = (name) => {
      if (name !== 'sweepJobs' || !away) return Promise.resolve();
      away = false;
      return Promise.reject(new Error('the cluster does not answer'));
    };
    const swept = await fixture.env.client.workflow.execute(janitorType, {
      workflowId: 'one',
      taskQueue: taskQueues.orchestrator,
      args: [],
    });
    expect(swept).toEqual({ removed: 1, kept: 0 });
  });

  it('comes every ten minutes by its schedule, which stays paused when a person paused it', async () => {
    const { client, address } = fixture.env;
    const connection = await Connection.connect({ address });
    const handle = client.schedule.getHandle(janitorSchedule);
    const prepare = (): Promise<void> =>
      prepareSchedules(connection, {
        temporal: { address, namespace: 'default' },
        settings: parseSettings({ MW_VERIFY_EVERY_MINUTES: '0' }),
      });
    try {
      await prepare();
      const made = await handle.describe();
      expect(made.spec.intervals?.[0]?.every).toBe(600_000);
      expect(made.policies.overlap).toBe('SKIP');
      const before = platform.sweeps;
      await handle.trigger();
      await eventually(
        () => platform.sweeps,
        (sweeps) => sweeps === before + 1,
      );
      await handle.pause('maintenance');
      await prepare();
      expect((await handle.describe()).state.paused).toBe(true);
    } finally {
      await handle.delete();
      await connection.close();
    }
  });
});
