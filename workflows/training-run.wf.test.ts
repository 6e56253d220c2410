import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
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

const commit = (rows: Readonly<Record<string, string | null>>) => tenant.sense(platform.commit(tenant.tenantId, 'c', rows));
const ended = (run: number) =>
  eventually(
    () => platform.customizations.get('c')?.runs[run - 1]?.state ?? 'queued',
    (state) => ['succeeded', 'skipped', 'rejected', 'failed', 'cancelled'].includes(state),
  );

describe('a training run', { timeout: 60_000 }, () => {
  it('goes through every stage and promotes its version', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    expect(await ended(1)).toBe('succeeded');
    expect(c.runs[0]).toMatchObject({
      states: ['building', 'training', 'gating', 'sharding', 'publishing', 'succeeded'],
      dataset: 1,
      version: 1,
    });
    expect(await tenant.run('c', 1).result()).toMatchObject({ state: 'succeeded', version: 1, dataset: { number: 1 } });
    const description = await tenant.run('c', 1).describe();
    expect(description.typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value])).toEqual(
      expect.arrayContaining([
        ['MwTenant', tenant.tenantId],
        ['MwCustomization', 'c'],
        ['MwBusinessModel', 'text-classification'],
        ['MwPhase', 'succeeded'],
        ['MwTrigger', 'changes'],
        ['MwModelVersion', 'v1'],
      ]),
    );
  });

  it('halves the batch when memory is not enough, up to three times', async () => {
    const c = platform.create('c');
    platform.failTrainings('OutOfMemory', 'OutOfMemory', 'OutOfMemory');
    await commit({ a: '1' });
    expect(await ended(1)).toBe('succeeded');
    expect(c.trainings.map(({ attempt, overrides }) => [attempt, overrides.batchDivisor])).toEqual([
      [1, 1],
      [2, 2],
      [3, 4],
      [4, 8],
    ]);
    expect(c.runs[0]?.attempt).toBe(4);
    platform.failTrainings('OutOfMemory', 'OutOfMemory', 'OutOfMemory', 'OutOfMemory');
    await commit({ b: '1' });
    expect(await ended(2)).toBe('failed');
    expect(c.runs[1]?.failureClass).toBe('out_of_memory');
  });

  it('halves the learning rate once when the training diverges', async () => {
    const c = platform.create('c');
    platform.failTrainings('Diverged');
    await commit({ a: '1' });
    expect(await ended(1)).toBe('succeeded');
    expect(c.trainings.map(({ overrides }) => overrides.learningRateDivisor)).toEqual([1, 2]);
    platform.failTrainings('Diverged', 'Diverged');
    await commit({ b: '1' });
    expect(await ended(2)).toBe('failed');
    expect(c.runs[1]?.failureClass).toBe('diverged');
  });

  it('resumes after preemptions and hangs without another batch size', async () => {
    const c = platform.create('c');
    platform.failTrainings('Preempted', 'Preempted', 'Preempted', 'Preempted', 'Hang');
    await commit({ a: '1' });
    expect(await ended(1)).toBe('succeeded');
    expect(c.trainings).toHaveLength(6);
    expect(c.trainings.every(({ overrides }) => overrides.batchDivisor === 1 && overrides.learningRateDivisor === 1)).toBe(true);
  });

  it('does not repeat what cannot work, names the reason, and waits for a change', async () => {
    const c = platform.create('c');
    platform.failTrainings('InvalidData');
    await commit({ a: '1' });
    expect(await ended(1)).toBe('failed');
    expect(c.trainings).toHaveLength(1);
    expect(
      await eventually(
        () => tenant.status(),
        ({ phase }) => phase === 'held',
      ),
    ).toMatchObject({
      lastFailure: { run: 1, failureClass: 'invalid_data', reason: 'the training ended with InvalidData' },
    });
    expect(platform.discarded).toHaveLength(1);
    await commit({ b: '1' });
    expect(await ended(2)).toBe('succeeded');
  });

  it('skips a training that another run has done, and names it', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    await ended(1);
    await commit({ a: '2' });
    await ended(2);
    await commit({ a: '1' });
    expect(await ended(3)).toBe('skipped');
    expect(c.runs[2]?.reason).toContain('run 1 has already trained these rows');
    expect(c.trainings).toHaveLength(2);
  });

  it('publishes a candidate on hold without promoting it, and does not publish a rejected one', async () => {
    const c = platform.create('c');
    platform.verdict = 'hold';
    await commit({ a: '1' });
    expect(await ended(1)).toBe('rejected');
    expect(c.runs[0]).toMatchObject({ version: 1, reason: 'v1 is on hold: the gate says hold' });
    platform.verdict = 'reject';
    await commit({ b: '1' });
    expect(await ended(2)).toBe('rejected');
    expect(c.runs[1]?.version).toBeNull();
    expect(c.production).toBeNull();
  });

  it('cannot be cancelled any more once it is publishing', async () => {
    const c = platform.create('c');
    platform.onActivity = async (name) => {
      if (name === 'publishModel') await tenant.run('c', 1).cancel();
    };
    await commit({ a: '1' });
    expect(await ended(1)).toBe('succeeded');
    expect(c.production).toBe(1);
  });

  it('goes on where it was when every worker is killed in the middle', async () => {
    const c = platform.create('c');
    let trained = 0;
    platform.onTrain = () => (++trained === 1 ? new Promise(() => undefined) : Promise.resolve());
    await commit({ a: '1' });
    await eventually(
      () => c.trainings.length,
      (n) => n === 1,
    );
    await fixture.stopWorkers();
    await fixture.work(platform);
    expect(await ended(1)).toBe('succeeded');
    expect(c.runs).toHaveLength(1);
    expect(c.trainings.map(({ attempt }) => attempt)).toEqual([1, 1]);
  });

  it('tells nobody when its tenant workflow is gone, and its row says how it ended', async () => {
    const c = platform.create('c');
    let release = (): void => undefined;
    platform.onTrain = () => new Promise((resolve) => (release = resolve));
    await commit({ a: '1' });
    await eventually(
      () => c.trainings.length,
      (n) => n === 1,
    );
    await tenant.handle.terminate('by an operator');
    release();
    expect(await ended(1)).toBe('succeeded');
    expect(await tenant.run('c', 1).result()).toMatchObject({ state: 'succeeded' });
  });
});
