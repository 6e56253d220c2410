import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { messageNames } from '../core/tenant-messages.ts';
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
  await fixture.work(platform);
}, 60_000);
afterEach(() => fixture.clear(), 60_000);

const commit = (rows: Readonly<Record<string, string | null>>, configured = false) =>
  tenant.sense(platform.commit(tenant.tenantId, 'c', rows, configured));
const idle = () =>
  eventually(
    () => tenant.status(),
    ({ phase }) => phase === 'idle',
  );

describe('a tenant workflow', { timeout: 60_000 }, () => {
  it('makes one run of 2,000 wake-ups, with all their rows', async () => {
    const c = platform.create('c', { quietPeriodMs: 1_500, maxWaitMs: 60_000 });
    const wakeUps = Array.from({ length: 2_000 }, (_, i) => platform.commit(tenant.tenantId, 'c', { [`row-${i}`]: 'x' }));
    // One after another, as the change consumer sends them.
    for (const digest of wakeUps) await tenant.sense(digest);
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
    await idle();
    expect(c.runs).toHaveLength(1);
    expect(c.datasets[0]?.rows.size).toBe(2_000);
  });

  it('learns changes that arrive during a run in the next one, and loses none', async () => {
    const c = platform.create('c');
    let release = (): void => undefined;
    platform.onTrain = ({ run }) => (run === 1 ? new Promise((resolve) => (release = resolve)) : Promise.resolve());
    await commit({ a: '1' });
    await eventually(
      () => c.trainings.length,
      (n) => n === 1,
    );
    await commit({ b: '1' });
    expect((await tenant.status()).phase).toBe('training');
    release();
    await eventually(
      () => c.production,
      (version) => version === 2,
    );
    await idle();
    expect(c.runs.map(({ state }) => state)).toEqual(['succeeded', 'succeeded']);
    expect([...(c.datasets[1]?.rows.keys() ?? [])]).toEqual(['a', 'b']);
  });

  it('starts no run for an edit that was reverted in the quiet period, and says why', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
    await idle();
    await commit({ a: '2' });
    await commit({ a: '1' });
    const { why } = await eventually(
      () => tenant.status(),
      (status) => status.why.startsWith('no run'),
    );
    expect(why).toMatch(/no run: 2 changes since \d\d:\d\d UTC left the rows equal to dataset 1/);
    expect(c.runs).toHaveLength(1);
    await eventually(
      () => platform.decisions.length,
      (n) => n === 1,
    );
    expect(platform.decisions[0]).toMatchObject({ kind: 'no_net_change', reason: why });
    expect(await tenant.handle.query<string>(messageNames.explainWhy)).toBe(`c is idle: ${why}`);
  });

  it('drops digests that it has counted', async () => {
    platform.create('c', { mode: 'manual' });
    const digest = platform.commit(tenant.tenantId, 'c', { a: '1' });
    for (let i = 0; i < 3; i++) await tenant.sense(digest);
    expect(
      (
        await eventually(
          () => tenant.status(),
          ({ pending }) => pending.inserted > 0,
        )
      ).pending.inserted,
    ).toBe(1);
  });

  it('trains on retrain in mode manual, and on changed options without any changed row', async () => {
    const c = platform.create('c', { mode: 'manual' });
    await commit({ a: '1' });
    await eventually(
      () => tenant.status(),
      ({ phase }) => phase === 'waiting',
    );
    await tenant.handle.signal(messageNames.retrain, { customizationId: 'c', reason: 'because' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
    await idle();
    expect(c.runs[0]).toMatchObject({ trigger: 'retrain', state: 'succeeded' });
    c.policy = { ...c.policy, mode: 'auto' };
    c.options = { method: 'finetune' };
    await commit({}, true);
    await eventually(
      () => c.production,
      (version) => version === 2,
    );
    await idle();
    expect(c.runs[1]).toMatchObject({ trigger: 'configuration', state: 'succeeded' });
  });

  it('accumulates while paused and goes on when resumed, and the row says the same', async () => {
    const c = platform.create('c');
    await commit({}, true);
    await eventually(
      () => tenant.status(),
      ({ phase }) => phase !== 'planning',
    );
    await tenant.update('pauseCustomization', { customizationId: 'c' });
    expect(c.state).toBe('paused');
    await commit({ a: '1' });
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await tenant.status()).toMatchObject({ phase: 'paused', pending: { inserted: 1 } });
    await tenant.update('resumeCustomization', { customizationId: 'c' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
  });

  it('cancels a run on request: its job is stopped, and its changes wait for the next change', async () => {
    const c = platform.create('c');
    platform.onTrain = ({ run }) => (run === 1 ? new Promise(() => undefined) : Promise.resolve());
    await commit({ a: '1' });
    await eventually(
      () => c.trainings.length,
      (n) => n === 1,
    );
    await expect(tenant.update('cancelRun', { customizationId: 'c', run: 7 })).rejects.toMatchObject({
      cause: { message: 'customization c has no active run 7 to cancel' },
    });
    expect(await tenant.update('cancelRun', { customizationId: 'c' })).toEqual({ run: 1 });
    await eventually(
      () => tenant.status(),
      ({ phase }) => phase === 'held',
    );
    expect(c.runs[0]).toMatchObject({ state: 'cancelled', states: ['building', 'training', 'cancelled'] });
    expect(platform.discarded).toHaveLength(1);
    await commit({ b: '1' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
    expect([...(c.datasets.at(-1)?.rows.keys() ?? [])]).toEqual(['a', 'b']);
  });

  it('promotes and rolls back on request, and refuses what does not exist with a clear message', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
    await commit({ b: '1' });
    await eventually(
      () => c.production,
      (version) => version === 2,
    );
    await idle();
    expect(await tenant.update('rollbackModel', { customizationId: 'c', actor: 'me' })).toEqual({ production: 1, previous: 2 });
    expect(await tenant.update('promoteModel', { customizationId: 'c', version: 2 })).toEqual({ production: 2, previous: 1 });
    expect((await tenant.status()).production).toBe(2);
    await expect(tenant.update('promoteModel', { customizationId: 'nobody', version: 2 })).rejects.toMatchObject({
      cause: { message: `tenant ${tenant.tenantId} has no customization nobody` },
    });
    await expect(tenant.update('promoteModel', { customizationId: 'c', version: 9 })).rejects.toMatchObject({
      cause: { message: 'Activity task failed' },
    });
  });

  it('cancels the run of a deleted customization and forgets it', async () => {
    const c = platform.create('c');
    platform.onTrain = () => new Promise(() => undefined);
    await commit({ a: '1' });
    await eventually(
      () => c.trainings.length,
      (n) => n === 1,
    );
    platform.customizations.delete('c');
    await commit({}, true);
    await eventually(
      async () => (await tenant.run('c', 1).describe()).status.name,
      (status) => status === 'COMPLETED',
    );
    expect(await tenant.run('c', 1).result()).toMatchObject({ state: 'cancelled' });
    await eventually(
      () => tenant.handle.query<{ customizations: unknown[] }>(messageNames.getStatus),
      ({ customizations }) => customizations.length === 0,
    );
  });

  it('notices a run whose workflow was terminated, and trains again on request', async () => {
    const c = platform.create('c');
    platform.onTrain = ({ run }) => (run === 1 ? new Promise(() => undefined) : Promise.resolve());
    await commit({ a: '1' });
    await eventually(
      () => c.trainings.length,
      (n) => n === 1,
    );
    await tenant.run('c', 1).terminate('by an operator');
    const { why } = await eventually(
      () => tenant.status(),
      ({ phase }) => phase === 'held',
    );
    expect(why).toContain('terminated');
    expect(c.runs[0]?.state).toBe('failed');
    await tenant.handle.signal(messageNames.retrain, { customizationId: 'c' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
  });

  it('that was terminated finds out by itself what it missed when it is started again', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
    await tenant.handle.terminate('by an operator');
    platform.commit(tenant.tenantId, 'c', { lost: '1' });
    await tenant.sense(platform.commit(tenant.tenantId, 'other', {}));
    await eventually(
      () => c.production,
      (version) => version === 2,
    );
    await idle();
    expect(c.runs[1]).toMatchObject({ trigger: 'recovery', state: 'succeeded' });
    expect(c.datasets[1]?.rows.has('lost')).toBe(true);
  });

  it('does not fill its history with timers when its due time moves with every change', async () => {
    platform.create('c', { quietPeriodMs: 30_000 });
    await commit({}, true);
    await eventually(
      () => tenant.status(),
      ({ phase }) => phase === 'waiting',
    );
    const before = (await tenant.handle.describe()).historyLength;
    for (let i = 0; i < 20; i++) {
      await commit({ [`row-${i}`]: '1' });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await eventually(
      () => tenant.status(),
      ({ pending }) => pending.inserted === 20,
    );
    // A signal and the three events of its workflow task, and nothing else.
    expect((await tenant.handle.describe()).historyLength - before).toBeLessThanOrEqual(20 * 4 + 4);
  });

  it('goes the same way on a worker that keeps no workflow in memory', async () => {
    await fixture.stopWorkers();
    await fixture.work(platform, { cache: 0 });
    const c = platform.create('c');
    await commit({ a: '1' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
    // The version serves a moment before its run has ended.
    await idle();
    await commit({ b: '1' });
    await eventually(
      () => c.production,
      (version) => version === 2,
    );
    await idle();
    expect(c.runs).toHaveLength(2);
  });

  it(
    'carries everything over continue-as-new: pending changes, watermarks, the active run and its pause',
    { timeout: 120_000 },
    async () => {
      const c = platform.create('c');
      let release = (): void => undefined;
      platform.onTrain = ({ run }) => (run === 1 ? new Promise((resolve) => (release = resolve)) : Promise.resolve());
      await commit({ a: '1' });
      await eventually(
        () => c.trainings.length,
        (n) => n === 1,
      );
      await tenant.update('pauseRun', { customizationId: 'c', actor: 'ann' });
      const first = (await tenant.handle.describe()).runId;
      const duplicate = platform.commit(tenant.tenantId, 'c', { b: '1' });
      for (let sent = 0; sent < 2_000; sent += 50) await Promise.all(Array.from({ length: 50 }, () => tenant.sense(duplicate)));
      await eventually(
        async () => (await tenant.handle.describe()).runId,
        (runId) => runId !== first,
      );
      await tenant.sense(duplicate);
      expect(await tenant.status()).toMatchObject({
        phase: 'training',
        why: expect.stringContaining('run 1 is paused since'),
        activeRun: 1,
        pending: { inserted: 1 },
      });
      await tenant.update('resumeRun', { customizationId: 'c' });
      await eventually(
        () => c.trainings.length,
        (n) => n === 2,
      );
      release();
      await eventually(
        () => c.production,
        (version) => version === 2,
      );
      expect(c.runs).toHaveLength(2);
    },
  );
});
