import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { failure } from '../activities/failure.ts';
import { forgetWorkflowId } from '../core/ids.ts';
import { forgetType, forgettingsType, taskQueues } from '../core/task-queues.ts';
import type { FakeForgetting } from '../test/support/fake-forgetting.ts';
import { FakePlatform } from '../test/support/fake-platform.ts';
import { type TenantClient, WorkflowFixture, eventually } from '../test/support/workflow-fixture.ts';

let fixture: WorkflowFixture;
let platform: FakePlatform;
let tenant: TenantClient;
beforeAll(async () => {
  fixture = await WorkflowFixture.start();
}, 60_000);
afterAll(() => fixture.stop(), 60_000);
beforeEach(async () => {
  platform = new FakePlatform();
  tenant = fixture.tenant();
  platform.forgettingTenant = tenant.tenantId;
  await fixture.work(platform);
}, 60_000);
afterEach(() => fixture.clear(), 60_000);

const hourMs = 3_600_000;
const commit = (rows: Readonly<Record<string, string | null>>) => tenant.sense(platform.commit(tenant.tenantId, 'c', rows));
const served = (version: number | null) =>
  eventually(
    () => platform.customizations.get('c')?.production,
    (production) => production === version,
  );
const asked = (ids: readonly string[], deadlineMs = hourMs, held: readonly number[] = []): FakeForgetting => {
  const forgetting = {
    ids,
    deadlineAtMs: Date.now() + deadlineMs,
    held: new Set(held),
    withdrawn: new Set<number>(),
    waitsFor: [],
    certified: 0,
  };
  platform.forgettings.set(`c/${platform.forgettings.size + 1}`, forgetting);
  return forgetting;
};
const keyOf = (number: number) => ({ tenantId: tenant.tenantId, customizationId: 'c', number });
const begin = (number = 1) =>
  fixture.env.client.workflow.start(forgetType, {
    workflowId: forgetWorkflowId(keyOf(number)),
    taskQueue: taskQueues.orchestrator,
    args: [keyOf(number)],
  });

describe('forgetting', { timeout: 60_000 }, () => {
  it('waits for a version without the rows, then withdraws, removes, searches and certifies, in this order', async () => {
    platform.create('c');
    await commit({ a: '1', b: '1' });
    await served(1);
    await commit({ c: '1' });
    await served(2);
    let release = (): void => undefined;
    platform.onTrain = () => new Promise((resolve) => (release = resolve));
    const forgetting = asked(['a']);
    await commit({ a: null });
    const handle = await begin();
    await eventually(
      () => forgetting.waitsFor.join(),
      (why) => why.includes('v2 learned them and serves') || why.includes('dataset 2 holds them'),
    );
    expect(platform.calls).toEqual([]);
    await eventually(
      () => platform.customizations.get('c')?.trainings.length,
      (n) => n === 3,
    );
    release();
    await handle.result();
    expect(platform.calls).toEqual(['withdraw v1 v2', 'remove', 'forget trainings of c', 'certify']);
    expect(platform.customizations.get('c')?.production).toBe(3);
    expect(forgetting.certified).toBe(1);
  });

  it('withdraws what serves when the deadline has passed and no training succeeds', async () => {
    platform.create('c');
    await commit({ a: '1', b: '1' });
    await served(1);
    platform.onTrain = () => Promise.reject(failure('TrainingFailed', 'it cannot be trained'));
    asked(['a'], 1_500);
    await commit({ a: null });
    await (await begin()).result();
    expect(platform.calls).toEqual(['withdraw v1', 'remove', 'forget trainings of c', 'certify']);
    await served(null);
    await eventually(
      () => tenant.status(),
      ({ production }) => production === null,
    );
  });

  it('cancels a run that learns the rows when the deadline has passed', async () => {
    const c = platform.create('c');
    platform.onTrain = ({ run }) => (run === 2 ? new Promise(() => undefined) : Promise.resolve());
    await commit({ b: '1' });
    await served(1);
    await commit({ a: '1' });
    await eventually(
      () => c.trainings.length,
      (n) => n === 2,
    );
    asked(['a'], 1_000);
    await commit({ a: null });
    await (await begin()).result();
    expect(c.runs[1]?.state).toBe('cancelled');
    expect(platform.calls.at(-1)).toBe('certify');
  });

  it('is blocked by a version that an operator holds, and goes on when it is released', async () => {
    platform.create('c');
    await commit({ a: '1', b: '1' });
    await served(1);
    await commit({ c: '1' });
    await served(2);
    const forgetting = asked(['a'], hourMs, [1]);
    await commit({ a: null });
    const handle = await begin();
    await eventually(
      () => forgetting.waitsFor.join(),
      (why) => why.includes('an operator holds v1'),
    );
    expect(platform.calls).toEqual(['withdraw v2']);
    forgetting.held.clear();
    await handle.result();
    expect(platform.calls.slice(1)).toEqual(['withdraw v1', 'remove', 'forget trainings of c', 'certify']);
  });

  it('waits while a row is in the table again', async () => {
    platform.create('c');
    await commit({ a: '1', b: '1' });
    await served(1);
    const forgetting = asked(['a']);
    const handle = await begin();
    await eventually(
      () => forgetting.waitsFor.join(),
      (why) => why.includes('in the table again: delete a'),
    );
    await commit({ a: null });
    await handle.result();
    expect(forgetting.certified).toBe(1);
  });

  it('goes on whatever fails once, and whichever worker dies, and certifies once', async () => {
    platform.create('c');
    await commit({ a: '1', b: '1' });
    await served(1);
    const forgetting = asked(['a']);
    await commit({ a: null });
    const failed = new Set<string>();
    platform.onActivity = (name) => {
      if (!/Forg|forget/.test(name) || failed.has(name)) return Promise.resolve();
      failed.add(name);
      return Promise.reject(failure('Unavailable', `${name} fails once`));
    };
    const handle = await begin();
    await eventually(
      () => failed.size,
      (n) => n >= 2,
    );
    await fixture.stopWorkers();
    await fixture.work(platform);
    await handle.result();
    expect([...failed].sort()).toEqual(['certifyForgetting', 'forgetTraining', 'lookForgetting', 'removeForgotten', 'withdrawForgotten']);
    expect(forgetting.certified).toBe(1);
  });

  it('says why it fails before it does, and goes on when it is begun again', async () => {
    platform.create('c');
    await commit({ a: '1', b: '1' });
    await served(1);
    const forgetting = asked(['a']);
    await commit({ a: null });
    // Of another worker than the one that does the rest.
    let damaged = true;
    platform.onActivity = (name) =>
      damaged && name === 'forgetTraining' ? Promise.reject(failure('BadOptions', 'kept files cannot be removed')) : Promise.resolve();
    await expect((await begin()).result()).rejects.toThrow(/failed/);
    expect(forgetting.waitsFor).toEqual(['it failed: kept files cannot be removed']);
    damaged = false;
    await fixture.env.client.workflow.execute(forgettingsType, { workflowId: 'forgettings', taskQueue: taskQueues.orchestrator });
    await fixture.env.client.workflow.getHandle(forgetWorkflowId(keyOf(1))).result();
    expect(forgetting.certified).toBe(1);
  });

  it('that is not done and has no workflow is begun by the schedule, and no second time', async () => {
    platform.create('c');
    await commit({ a: '1', b: '1' });
    await served(1);
    const [first, second] = [asked(['a']), asked(['b'])];
    const handle = await begin(1);
    const look = () =>
      fixture.env.client.workflow.execute(forgettingsType, { workflowId: 'forgettings', taskQueue: taskQueues.orchestrator });
    expect(await look()).toBe(1);
    expect(await look()).toBe(0);
    await fixture.env.client.workflow.getHandle(forgetWorkflowId(keyOf(2))).terminate('by an operator');
    expect(await look()).toBe(1);
    await commit({ a: null, b: null, c: '1' });
    await handle.result();
    await fixture.env.client.workflow.getHandle(forgetWorkflowId(keyOf(2))).result();
    expect([first.certified, second.certified]).toEqual([1, 1]);
    expect(await look()).toBe(0);
  });
});
