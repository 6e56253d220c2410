import { Connection } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { failure } from '../activities/failure.ts';
import type { GcReport, ScrubReport } from '../core/store-care.ts';
import { storeGcType, storeScrubType, taskQueues } from '../core/task-queues.ts';
import { janitorSchedule, prepareSchedules, storeGcSchedule, storeScrubSchedule } from '../infra/temporal/schedules.ts';
import { parseSettings } from '../platform/config.ts';
import { FakePlatform } from '../test/support/fake-platform.ts';
import { WorkflowFixture } from '../test/support/workflow-fixture.ts';

let fixture: WorkflowFixture;
const platform = new FakePlatform();
beforeAll(async () => {
  fixture = await WorkflowFixture.start();
  await fixture.work(platform);
}, 60_000);
afterEach(() => {
  platform.calls.splice(0);
  platform.onActivity = () => Promise.resolve();
});
afterAll(() => fixture.stop(), 60_000);

let rounds = 0;
const round = async <R>(type: string, input: object): Promise<R> =>
  (await fixture.env.client.workflow.execute(type, {
    workflowId: `round-${++rounds}`,
    taskQueue: taskQueues.orchestrator,
    args: [input],
  })) as R;

describe('the care for the store', { timeout: 60_000 }, () => {
  it('sweeps every tenant and then what all share, and adds it up; a dry run goes the same way', async () => {
    const report = await round<GcReport>(storeGcType, { dryRun: false });
    expect(platform.calls).toEqual(['begin gc', 'sweep acme false', 'sweep beta false', 'sweep gamma false', 'sweep base', 'end true']);
    expect(report).toMatchObject({
      dryRun: false,
      removed: { models: { objects: 3, bytes: 30 }, base: { objects: 1, bytes: 10 } },
      kept: { objects: 8, bytes: 80 },
      versions: 3,
      datasets: 4,
      failed: [],
    });
    expect(report.tenants.map(({ tenantId }) => tenantId)).toEqual(['acme', 'beta', 'gamma']);
    platform.calls.splice(0);
    expect({ ...(await round<GcReport>(storeGcType, { dryRun: true })), dryRun: false }).toEqual(report);
    expect(platform.calls[0]).toBe('begin gc-dry-run');
  });

  it('goes on with the others where one tenant fails, and says which and why', async () => {
    platform.onActivity = (name) =>
      name.endsWith('beta') ? Promise.reject(failure('Corrupt', 'something is wrong with beta')) : Promise.resolve();
    const swept = await round<GcReport>(storeGcType, { dryRun: false });
    expect(swept.failed).toEqual(['beta: something is wrong with beta']);
    expect(swept.removed.models.objects).toBe(2);
    const read = await round<ScrubReport>(storeScrubType, { everything: true });
    expect(read).toMatchObject({ objects: 9, failed: ['beta: something is wrong with beta'] });
  });

  it('reads what all share first, and by the schedule only a share of everything', async () => {
    const report = await round<ScrubReport>(storeScrubType, { everything: false });
    expect(report).toMatchObject({ share: { index: 2, of: 7 }, objects: 12, damaged: 4, repaired: 4 });
    expect(platform.calls).toEqual(['begin scrub', 'read base 2', 'read acme 2', 'read beta 2', 'read gamma 2', 'end true']);
  });

  it('comes by its schedules, one round at a time; none reads where MW_SCRUB_EVERY_HOURS is 0', async () => {
    const { client, address } = fixture.env;
    const connection = await Connection.connect({ address });
    const prepare = (env: Record<string, string>): Promise<void> =>
      prepareSchedules(connection, {
        temporal: { address, namespace: 'default' },
        settings: parseSettings({ MW_VERIFY_EVERY_MINUTES: '0', ...env }),
      });
    const about = async (id: string) => await client.schedule.getHandle(id).describe();
    try {
      await prepare({});
      expect((await about(storeGcSchedule)).spec.intervals?.[0]?.every).toBe(6 * 3_600_000);
      expect((await about(storeGcSchedule)).policies.overlap).toBe('SKIP');
      expect((await about(storeScrubSchedule)).spec.intervals?.[0]?.every).toBe(24 * 3_600_000);
      await prepare({ MW_SCRUB_EVERY_HOURS: '5' });
      expect((await about(storeScrubSchedule)).spec.intervals?.[0]?.every).toBe(5 * 3_600_000);
      await prepare({ MW_SCRUB_EVERY_HOURS: '0' });
      await expect(about(storeScrubSchedule)).rejects.toThrow(/not found/i);
      await prepare({ MW_SCRUB_EVERY_HOURS: '0' });
    } finally {
      for (const id of [storeGcSchedule, janitorSchedule]) await client.schedule.getHandle(id).delete();
      await connection.close();
    }
  });
});
