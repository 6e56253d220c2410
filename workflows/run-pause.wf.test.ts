import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { failure } from '../activities/failure.ts';
import { messageNames } from '../core/tenant-messages.ts';
import { FakePlatform } from '../test/support/fake-platform.ts';
import type { FakeCustomization, FakeRun } from '../test/support/fake-tables.ts';
import { type TenantClient, WorkflowFixture, eventually } from '../test/support/workflow-fixture.ts';

let fixture: WorkflowFixture;
let platform: FakePlatform;
let tenant: TenantClient;
let c: FakeCustomization;
/** Ends the training that runs, well or with an error. */
let endTraining: (error?: Error) => void = () => undefined;
beforeAll(async () => {
  fixture = await WorkflowFixture.start();
}, 60_000);
afterAll(() => fixture.stop(), 60_000);
beforeEach(async () => {
  platform = new FakePlatform();
  tenant = fixture.tenant();
  c = platform.create('c');
  platform.onTrain = () => new Promise((resolve, reject) => (endTraining = (error) => (error ? reject(error) : resolve())));
  await fixture.work(platform);
}, 60_000);
afterEach(() => fixture.clear(), 60_000);

const commit = (rows: Readonly<Record<string, string>>, id = 'c', configured = false) =>
  tenant.sense(platform.commit(tenant.tenantId, id, rows, configured));
const training = (attempt: number, of = c) =>
  eventually(
    () => of.trainings.length,
    (n) => n === attempt,
  );
const run = (of = c): FakeRun => {
  const [first] = of.runs;
  if (!first) throw new Error('there is no run');
  return first;
};
const ended = (of = c) =>
  eventually(
    () => of.runs[0]?.state ?? 'queued',
    (state) => ['succeeded', 'cancelled', 'failed'].includes(state),
  );
const ask = (name: 'pauseRun' | 'resumeRun' | 'cancelRun', more: object = {}) =>
  tenant.update<{ run: number; paused: object | null }>(name, { customizationId: 'c', actor: 'ann', ...more });
const refusal = async (asked: Promise<unknown>): Promise<string> => {
  const error: unknown = await asked.then(
    (answer) => new Error(`it was not refused: ${JSON.stringify(answer)}`),
    (thrown: unknown) => thrown,
  );
  return (error as { cause?: Error }).cause?.message ?? (error as Error).message;
};
const phaseOfRun = async (): Promise<unknown> => {
  const { typedSearchAttributes } = await tenant.run('c', 1).describe();
  return typedSearchAttributes.getAll().find(({ key }) => key.name === 'MwPhase')?.value;
};

describe('a run that is paused', { timeout: 60_000 }, () => {
  it('has stopped its job when the pause is answered, is seen as paused, and goes on with the next attempt', async () => {
    await commit({ a: '1' });
    await training(1);
    expect(await ask('pauseRun', { run: 1, reason: 'the GPU is needed' })).toMatchObject({
      run: 1,
      paused: { by: 'ann', reason: 'the GPU is needed' },
    });
    expect(platform.stopped).toEqual([{ customizationId: 'c', run: 1, attempt: 1 }]);
    expect(run()).toMatchObject({ state: 'training', paused: { by: 'ann' }, attempt: 1 });
    expect(await phaseOfRun()).toBe('paused');
    const metadata = await tenant.run('c', 1).query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(metadata.currentDetails).toContain('**Paused**');
    expect(metadata.currentDetails).toContain('by ann: the GPU is needed');
    const status = await eventually(
      () => tenant.status(),
      ({ why }) => why.includes('paused'),
    );
    expect(status).toMatchObject({
      phase: 'training',
      activeRun: 1,
      why: expect.stringMatching(/^run 1 is paused since .* by ann: the GPU/),
    });
    expect(await refusal(ask('pauseRun'))).toMatch(/^run 1 is paused already, since \d\d:\d\d UTC, by ann$/);

    expect(await ask('resumeRun')).toEqual({ run: 1, paused: null });
    await training(2);
    expect(run()).toMatchObject({ attempt: 2, paused: null });
    expect(await phaseOfRun()).toBe('training');
    endTraining();
    expect(await ended()).toBe('succeeded');
    expect(c.trainings.map(({ attempt, overrides }) => [attempt, overrides])).toEqual(
      [1, 2].map((attempt) => [attempt, { batchDivisor: 1, learningRateDivisor: 1 }]),
    );
    expect(c.production).toBe(1);
  });

  it('can be paused again and again, which uses up no attempt', async () => {
    await commit({ a: '1' });
    for (let attempt = 1; attempt <= 5; attempt++) {
      await training(attempt);
      await ask('pauseRun');
      await ask('resumeRun');
    }
    await training(6);
    endTraining(failure('Hang', 'no progress'));
    await training(7);
    endTraining();
    expect(await ended()).toBe('succeeded');
  });

  it('can be cancelled', async () => {
    await commit({ a: '1' });
    await training(1);
    await ask('pauseRun');
    await ask('cancelRun');
    expect(await ended()).toBe('cancelled');
    expect(run().paused).toBeNull();
    expect(platform.discarded).toHaveLength(1);
    await eventually(
      () => tenant.status(),
      ({ phase }) => phase === 'held',
    );
    expect(await refusal(ask('resumeRun'))).toBe('customization c has no active run to resume');
  });

  it('is known to its tenant after a restart, and lives when the watchdog asks', async () => {
    await commit({ a: '1' });
    await training(1);
    await ask('pauseRun');
    await tenant.handle.terminate('by an operator');
    await commit({ b: '1' });
    await eventually(
      () => tenant.status(),
      ({ why }) => why.startsWith('run 1 is paused since'),
    );
    await tenant.run('c', 1).signal('runAsked');
    await ask('resumeRun');
    await training(2);
    endTraining();
    expect(await ended()).toBe('succeeded');
  });

  it('survives that every worker is killed', async () => {
    await commit({ a: '1' });
    await training(1);
    await ask('pauseRun');
    await fixture.stopWorkers();
    await fixture.work(platform, { cache: 0 });
    expect(await refusal(ask('pauseRun'))).toContain('is paused already');
    await ask('resumeRun');
    await training(2);
    endTraining();
    expect(await ended()).toBe('succeeded');
  });
});

describe('a pause', { timeout: 60_000 }, () => {
  it('is refused in every other step, which is named', async () => {
    const steps = { buildDataset: 'dataset', evaluateGate: 'gate', shardModel: 'shard', publishModel: 'publish', promoteModel: 'promote' };
    const refused: Record<string, string> = {};
    platform.onTrain = () => Promise.resolve();
    platform.onActivity = async (name) => {
      if (name in steps) refused[name] = await refusal(ask('pauseRun'));
    };
    await commit({ a: '1' });
    await eventually(
      () => c.production,
      (version) => version === 1,
    );
    expect(refused).toEqual(
      Object.fromEntries(
        Object.entries(steps).map(([name, step]) => [name, `run 1 is in its step ${step}, which cannot be paused: only train can`]),
      ),
    );
  });

  it('of no run, of another one, and a resume of one that trains are refused', async () => {
    await commit({}, 'c', true);
    expect(await refusal(ask('pauseRun'))).toBe('customization c has no active run to pause');
    await commit({ a: '1' });
    await training(1);
    expect(await refusal(ask('pauseRun', { run: 7 }))).toBe('customization c has no active run 7 to pause');
    expect(await refusal(ask('resumeRun', { run: 1 }))).toBe('run 1 is not paused');
    endTraining();
    expect(await ended()).toBe('succeeded');
  });

  it('that comes with the end of the training is too late: its result counts', async () => {
    platform.heedsCancel = false;
    await commit({ a: '1' });
    await training(1);
    const asked = refusal(ask('pauseRun'));
    await cancelSeen();
    endTraining();
    expect(await asked).toBe('run 1 had done its training before it could be paused: it goes on');
    expect(await ended()).toBe('succeeded');
    expect(c.trainings).toHaveLength(1);
  });

  it('that comes with a failure keeps the remedy: the run is paused before its next attempt', async () => {
    platform.heedsCancel = false;
    await commit({ a: '1' });
    await training(1);
    const asked = ask('pauseRun');
    await cancelSeen();
    endTraining(failure('OutOfMemory', 'too large'));
    expect(await asked).toMatchObject({ run: 1, paused: { by: 'ann' } });
    expect(c.trainings).toHaveLength(1);
    await ask('resumeRun');
    await training(2);
    expect(c.trainings[1]).toMatchObject({ attempt: 2, overrides: { batchDivisor: 2 } });
    endTraining();
    expect(await ended()).toBe('succeeded');
  });

  it('of a run that is cancelled meanwhile is answered with the end', async () => {
    let stops = 0;
    platform.onActivity = (name) => (name === 'stopTraining' && ++stops === 1 ? new Promise(() => undefined) : Promise.resolve());
    await commit({ a: '1' });
    await training(1);
    const asked = refusal(ask('pauseRun'));
    await eventually(
      () => stops,
      (n) => n === 1,
    );
    await ask('cancelRun');
    expect(await asked).toMatch(/^run 1 has ended/);
    expect(await ended()).toBe('cancelled');
  });
});

/** The run has asked its training to stop. */
const cancelSeen = () =>
  eventually(
    async () => (await tenant.run('c', 1).fetchHistory()).events ?? [],
    (events) => events.some(({ activityTaskCancelRequestedEventAttributes: asked }) => Boolean(asked)),
  );

describe('a tenant with few trainings at a time', { timeout: 60_000 }, () => {
  it('lets another one train while one is paused, which goes on when there is room', async () => {
    platform.quotas = { concurrentTrainings: 1 };
    const d = platform.create('d');
    await commit({ a: '1' });
    await training(1);
    await commit({ a: '1' }, 'd');
    const waiting = await eventually(
      () => tenant.status('d'),
      ({ why }) => why.includes('waits'),
    );
    expect(waiting.why).toContain('waits: 1 of 1 trainings of this tenant run (concurrentTrainings)');
    expect(await tenant.handle.query<string, [string]>(messageNames.explainWhy, 'd')).toContain('waits: 1 of 1');
    await ask('pauseRun');
    await training(1, d);
    expect(await refusal(ask('resumeRun'))).toContain('run 1 stays paused: waits: 1 of 1 trainings of this tenant run');
    endTraining();
    expect(await ended(d)).toBe('succeeded');
    await eventually(
      () => tenant.status('d'),
      ({ phase }) => phase === 'idle',
    );
    await ask('resumeRun');
    await training(2);
    endTraining();
    expect(await ended()).toBe('succeeded');
  });

  it('lets one of two go on that are resumed at once, where there is room for one', async () => {
    platform.quotas = { concurrentTrainings: 2 };
    const [d, e] = [platform.create('d'), platform.create('e')];
    await commit({ a: '1' });
    await training(1);
    await commit({ a: '1' }, 'd');
    await training(1, d);
    await commit({ a: '1' }, 'e');
    for (const customizationId of ['c', 'd']) await ask('pauseRun', { customizationId });
    await training(1, e);
    const answers = await Promise.allSettled(['c', 'd'].map((customizationId) => ask('resumeRun', { customizationId })));
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await eventually(
      () => c.trainings.length + d.trainings.length,
      (n) => n === 3,
    );
  });

  it('learns of more by the log, as of any change', async () => {
    platform.quotas = { concurrentTrainings: 1 };
    const d = platform.create('d');
    await commit({ a: '1' });
    await training(1);
    await commit({ a: '1' }, 'd');
    await eventually(
      () => tenant.status('d'),
      ({ why }) => why.includes('waits'),
    );
    platform.quotas = { concurrentTrainings: 2 };
    await commit({}, 'c', true);
    expect(await training(1, d)).toBe(1);
  });
});

describe('GPU seconds', { timeout: 60_000 }, () => {
  it('are those of every attempt: failed, paused and well ended', async () => {
    platform.gpuSeconds = 10;
    await commit({ a: '1' });
    await training(1);
    endTraining(failure('Hang', 'no progress', undefined, [{ gpuSeconds: 7 }]));
    await training(2);
    await ask('pauseRun');
    expect(run().gpuSeconds).toBe(17);
    await ask('resumeRun');
    await training(3);
    endTraining();
    expect(await tenant.run('c', 1).result()).toMatchObject({ state: 'succeeded', gpuSeconds: 27 });
    expect(run().gpuSeconds).toBe(27);
  });

  it('of a cancelled attempt count too, and a run without a GPU has none', async () => {
    platform.gpuSeconds = 10;
    await commit({ a: '1' });
    await training(1);
    await ask('cancelRun');
    expect(await tenant.run('c', 1).result()).toMatchObject({ state: 'cancelled', gpuSeconds: 10 });
    platform.gpuSeconds = null;
    await commit({ b: '1' });
    await training(2);
    endTraining();
    expect(await tenant.run('c', 2).result()).not.toHaveProperty('gpuSeconds');
  });

  it('that are used up stop the run, which says so; the tenant waits until some of them are a day old', async () => {
    platform.quotas = { gpuSecondsPerDay: 100 };
    await commit({ a: '1' });
    await training(1);
    endTraining(failure('BudgetSpent', 'the tenant has used its 100 GPU seconds', undefined, [{ gpuSeconds: 100 }]));
    expect(await ended()).toBe('cancelled');
    expect(run()).toMatchObject({ failureClass: 'budget', reason: 'the tenant has used its 100 GPU seconds', gpuSeconds: 100 });
    expect(c.trainings).toHaveLength(1);
    await commit({ b: '1' });
    const { why, pending } = await eventually(
      () => tenant.status(),
      (status) => status.why.includes('gpuSecondsPerDay'),
    );
    expect(why).toMatch(/held: 100 of 100 GPU seconds of this tenant in 24 hours are used \(gpuSecondsPerDay\), due in 24 h/);
    expect(pending.inserted).toBe(2);
    // The workflow that starts anew knows it from the rows.
    await tenant.handle.terminate('by an operator');
    await commit({ d: '1' });
    await eventually(
      () => tenant.status(),
      (status) => status.why.includes('gpuSecondsPerDay'),
    );
    expect(c.trainings).toHaveLength(1);
  });
});

describe('a training out of memory', { timeout: 60_000 }, () => {
  it('takes a larger tier with the whole batch when its eighth does not fit either', async () => {
    platform.failWith({ largerTier: true }, ...Array<'OutOfMemory'>(4).fill('OutOfMemory'));
    await commit({ a: '1' });
    expect(await ended()).toBe('succeeded');
    expect(c.trainings.map(({ overrides }) => [overrides.tierRaises, overrides.batchDivisor])).toEqual([
      [undefined, 1],
      [undefined, 2],
      [undefined, 4],
      [undefined, 8],
      [1, 1],
    ]);
  });

  it('fails with what was tried where there is none', async () => {
    platform.failWith({ largerTier: false }, ...Array<'OutOfMemory'>(4).fill('OutOfMemory'));
    await commit({ a: '1' });
    expect(await ended()).toBe('failed');
    expect(run()).toMatchObject({
      failureClass: 'out_of_memory',
      reason: expect.stringContaining('parts of it down to 1/8 were tried; there is no larger resource tier'),
    });
  });
});
