import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SchemaChange, SchemaDecided } from '../core/schema-change.ts';
import { tenantWorkflowType } from '../core/task-queues.ts';
import { messageNames } from '../core/tenant-messages.ts';
import { tenantStart } from '../core/tenant-start.ts';
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
const phase = (wanted: string) =>
  eventually(
    () => tenant.status(),
    (status) => status.phase === wanted,
  );
const production = (version: number) =>
  eventually(
    () => platform.customizations.get('c')?.production ?? null,
    (now) => now === version,
    45_000,
  );
const change = (changes: Partial<SchemaChange> = {}): SchemaChange => ({
  customizationId: 'c',
  changeId: 'x:9/shop.reviews',
  table: 'shop.reviews',
  kind: 'column_renamed',
  effect: 'held',
  reason: 'shop.reviews: column body was renamed to text: training is held, serving goes on; remap the column',
  schemaVersion: 2,
  gtid: 'x:9',
  atMs: Date.now(),
  ...changes,
});

/** As the change consumer: on record first, then told. */
async function tell(told: SchemaChange): Promise<void> {
  const undecided = platform.customizations.get('c')?.schema.undecided;
  if (told.effect === 'held' && !undecided?.some(({ changeId }) => changeId === told.changeId)) undecided?.push(told);
  await tenantSignal(told);
}
const tenantSignal = (told: SchemaChange) =>
  fixture.env.client.workflow.signalWithStart(tenantWorkflowType, {
    ...tenantStart(tenant.tenantId),
    signal: messageNames.schemaChanged,
    signalArgs: [told],
  });
const answer = (request: object = { action: 'approve' }) =>
  tenant.update<SchemaDecided>('approveSchema', { customizationId: 'c', ...request });

describe('a change of structure', { timeout: 120_000 }, () => {
  it('that is held freezes training, a person included, until it is answered; serving goes on', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    await production(1);
    await phase('idle');
    await tell(change());
    await commit({ b: '1' });
    await tenant.handle.signal(messageNames.retrain, { customizationId: 'c', force: true, reason: 'now' });
    const held = await phase('held');
    expect(held).toMatchObject({ production: 1, heldSchema: { kind: 'column_renamed', table: 'shop.reviews' } });
    expect(held.why).toContain('the run that was asked for waits for that');
    const { typedSearchAttributes } = await eventually(
      () => tenant.handle.describe(),
      ({ typedSearchAttributes: seen }) => seen.getAll().some(({ key }) => key.name === 'MwSchema'),
    );
    const shown = Object.fromEntries(typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]));
    expect(shown).toMatchObject({ MwSchema: 'held', MwPhase: 'held', MwHeldReason: change().reason });
    expect(c.runs).toHaveLength(1);
    expect(await answer({ action: 'remap', columns: { text: 'text' } })).toEqual({
      changeIds: [change().changeId],
      rebuild: true,
      schemaVersion: 2,
    });
    await production(2);
    expect(c.runs[1]).toMatchObject({ trigger: 'retrain', reason: 'now' });
    const after = await eventually(
      () => tenant.handle.describe(),
      ({ typedSearchAttributes: seen }) => !seen.getAll().some(({ key }) => key.name === 'MwSchema'),
    );
    expect(after.typedSearchAttributes.getAll().map(({ key }) => key.name)).not.toContain('MwHeldReason');
  });

  it('that is told again after the answer holds nothing', async () => {
    platform.create('c', { mode: 'manual' });
    await commit({ a: '1' });
    await tell(change());
    await phase('held');
    await answer();
    await tenantSignal(change());
    await tenantSignal(change({ changeId: 'x:10/shop.reviews', effect: 'recorded', schemaVersion: 3 }));
    await tenant.handle.signal(messageNames.retrain, { customizationId: 'c' });
    await production(1);
    expect((await tenant.status()).heldSchema).toBeNull();
  });

  it('holds a tenant whose workflow is started by it', async () => {
    const c = platform.create('c');
    c.table.set('a', '1');
    await tell(change());
    await phase('held');
    expect(platform.calls).toEqual([]);
    await answer();
    await production(1);
  });

  it('that was on record before the workflow was lost holds the next one', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    await production(1);
    await tell(change());
    await phase('held');
    await tenant.handle.terminate('by an operator');
    c.table.set('b', '1');
    await tenant.sense(platform.commit(tenant.tenantId, 'c', { d: '1' }));
    await phase('held');
    expect(c.runs).toHaveLength(1);
    await answer();
    await production(2);
  });

  it('that a comparison meets before the log tells of it holds too', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    await production(1);
    c.schema.unreadable = change({ changeId: 'read/0123/shop.reviews' });
    await commit({ b: '1' });
    await phase('held');
    expect(c.runs).toHaveLength(1);
    await answer();
    await production(2);
  });

  it('that comes while a run is built fails that run with a class of its own, and holds', async () => {
    const c = platform.create('c');
    platform.onActivity = async (name) => {
      if (name === 'buildDataset' && c.schema.undecided.length === 0) c.schema.undecided.push(change());
    };
    await commit({ a: '1' });
    await phase('held');
    expect(c.runs).toMatchObject([{ state: 'failed', failureClass: 'schema_held' }]);
    platform.onActivity = () => Promise.resolve();
    await answer();
    await production(1);
  });

  it('lets a run go on whose dataset was cut before it', async () => {
    const c = platform.create('c');
    let release = (): void => undefined;
    platform.onTrain = () => new Promise((resolve) => (release = resolve));
    await commit({ a: '1' });
    await eventually(
      () => c.trainings.length,
      (n) => n === 1,
    );
    await tell(change());
    expect(
      await eventually(
        () => tenant.status(),
        ({ heldSchema }) => Boolean(heldSchema),
      ),
    ).toMatchObject({ phase: 'training' });
    release();
    await production(1);
    await phase('held');
  });

  it('that needs no answer has everything compared, and trains only what differs', async () => {
    const c = platform.create('c');
    await commit({ a: '1' });
    await production(1);
    await phase('idle');
    await tell(change({ effect: 'rebuild' }));
    await eventually(
      () => platform.decisions.length,
      (n) => n === 1,
    );
    expect(c.runs).toHaveLength(1);
    await tell(change({ changeId: 'x:11/shop.reviews', effect: 'rebuild', retrain: true }));
    await production(2);
  });

  it('refuses an answer where nothing is held, and one that is not complete', async () => {
    platform.create('c');
    await commit({ a: '1' });
    await production(1);
    await expect(answer()).rejects.toMatchObject({ cause: { cause: { message: expect.stringContaining('waits for an answer') } } });
    await expect(answer({ action: 'adopt' })).rejects.toMatchObject({
      cause: { message: expect.stringContaining('approve, remap, ignore') },
    });
    await expect(answer({ action: 'remap' })).rejects.toMatchObject({ cause: { message: expect.stringContaining('columns or table') } });
  });

  it('is carried over continue-as-new', { timeout: 120_000 }, async () => {
    platform.create('c', { mode: 'manual' });
    await commit({ a: '1' });
    await tell(change());
    await phase('held');
    const first = (await tenant.handle.describe()).runId;
    const duplicate = platform.commit(tenant.tenantId, 'c', { b: '1' });
    for (let sent = 0; sent < 2_000; sent += 50) await Promise.all(Array.from({ length: 50 }, () => tenant.sense(duplicate)));
    await eventually(
      async () => (await tenant.handle.describe()).runId,
      (runId) => runId !== first,
    );
    await tenantSignal(change());
    expect(await tenant.status()).toMatchObject({ phase: 'held', heldSchema: { changeId: change().changeId } });
    const shown = (await tenant.handle.describe()).typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]);
    expect(shown).toContainEqual(['MwSchema', 'held']);
    await answer();
    await phase('waiting');
  });
});
