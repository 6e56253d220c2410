import { describe, expect, it } from 'vitest';
import type { DatasetPlan } from '../activities/ports.ts';
import type { ChangeDigest, CustomizationChanges, LogPosition } from '../core/change-digest.ts';
import type { CustomizationSnapshot } from '../core/customization.ts';
import { noBuckets, withBucket } from '../core/dirty-buckets.ts';
import { type Policy, defaultPolicy } from '../core/policy.ts';
import type { RunOutcome } from '../core/run.ts';
import { decide } from './tenant-decide.ts';
import { type TenantEvent, applyEvent } from './tenant-events.ts';
import { type Command, type Entry, type TenantState, newTenantState } from './tenant-state.ts';
import { customizationStatus, tenantDetails, tenantPending } from './tenant-status.ts';

const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
/** Noon, so that times in sentences are easy to read. */
const noon = Date.parse('2026-03-02T12:00:00Z');
const second = 1_000;
const hour = 3_600_000;
const day = 24 * hour;

const changes = (over: Partial<CustomizationChanges> = {}): CustomizationChanges => ({
  inserted: 0,
  updated: 0,
  deleted: 0,
  dirtyBuckets: withBucket(noBuckets, 1),
  firstCommitMs: noon,
  lastCommitMs: noon,
  lastGtid: `${uuid}:10`,
  configured: false,
  ...over,
});

const digest = (
  sequence: number,
  over: Partial<CustomizationChanges> = { inserted: 1 },
  position: Partial<LogPosition> = {},
): ChangeDigest => ({
  tenantId: 't',
  customizations: { c: changes({ lastGtid: `${uuid}:${sequence}`, ...over }) },
  ranges: {
    'mw.modelwright.examples/0': {
      firstOffset: '0',
      lastOffset: String(sequence),
      last: { gtid: `${uuid}:${sequence}`, file: 'binlog.000001', pos: sequence * 100, row: 0, ...position },
    },
  },
});

const snapshot = (over: Partial<CustomizationSnapshot> = {}): CustomizationSnapshot => ({
  customizationId: 'c',
  name: 'C',
  businessModel: 'text-classification',
  state: 'active',
  policy: defaultPolicy,
  optionsDigest: 'o1',
  options: {},
  lastDataset: { number: 3, digest: 'd3', rows: 1_000, cut: `${uuid}:1-5` },
  lastRun: { number: 3, state: 'succeeded' },
  trainedOptionsDigest: 'o1',
  production: 3,
  recentRuns: [],
  ...over,
});

const plan = (over: Partial<DatasetPlan> = {}): DatasetPlan => ({
  netChange: true,
  ready: true,
  reasons: [],
  rows: 1_001,
  changedRows: 1,
  cut: `${uuid}:1-10`,
  ...over,
});

const outcome = (over: Partial<RunOutcome> = {}): RunOutcome => ({
  customizationId: 'c',
  run: 4,
  state: 'succeeded',
  reason: null,
  failureClass: null,
  dataset: { number: 4, digest: 'd4', rows: 1_001, cut: `${uuid}:1-10` },
  version: 4,
  trainingMs: 20 * second,
  ...over,
});

/** A tenant with a clock of its own: what the workflow's shell does, without Temporal. */
class Tenant {
  nowMs = noon;
  state: TenantState = newTenantState('t');
  commands: Command[] = [];

  static with(over: Partial<CustomizationSnapshot> = {}): Tenant {
    const tenant = new Tenant().send({ type: 'tenantLoaded', customizations: [snapshot(over)] });
    // As if the first comparison had found everything learned.
    const { c } = tenant.state.customizations;
    if (c) tenant.state = { ...tenant.state, customizations: { c: { ...c, pending: null } } };
    return tenant;
  }

  static policy(policy: Partial<Policy>, over: Partial<CustomizationSnapshot> = {}): Tenant {
    return Tenant.with({ policy: { ...defaultPolicy, ...policy }, ...over });
  }

  send(event: TenantEvent): this {
    const step = applyEvent(this.state, event, this.nowMs);
    this.state = step.state;
    this.commands.push(...step.commands);
    return this;
  }

  sense(sequence: number, over?: Partial<CustomizationChanges>): this {
    return this.send({ type: 'changesSensed', digest: digest(sequence, over) });
  }

  /** Lets time pass; returns the commands that were decided. */
  after(ms: number): Command[] {
    this.nowMs += ms;
    const { state, commands } = decide(this.state, this.nowMs);
    this.state = state;
    return [...this.commands.splice(0), ...commands];
  }

  /** Types of the commands. */
  types(ms = 0): string[] {
    return this.after(ms).map(({ type }) => type);
  }

  get wakeAfterMs(): number | null {
    const { wakeAtMs } = decide(this.state, this.nowMs);
    return wakeAtMs === null ? null : wakeAtMs - this.nowMs;
  }

  get entry(): Entry {
    const entry = this.state.customizations['c'];
    if (!entry) throw new Error('the customization is gone');
    return entry;
  }

  get status() {
    return customizationStatus('c', this.entry, this.nowMs);
  }

  #must(command: string): void {
    const types = this.types();
    if (!types.includes(command)) throw new Error(`${command} was not decided, but: ${types.join(', ')}`);
  }

  /** From a due change to a running run. */
  run(number = 4, over?: Partial<DatasetPlan>): this {
    this.#must('plan');
    this.send({ type: 'planned', customizationId: 'c', plan: plan(over) });
    this.#must('startRun');
    return this.send({ type: 'runStarted', customizationId: 'c', run: number, adopted: false });
  }
}

describe('policy', () => {
  it('starts a run when nothing has changed for quietPeriodMs, counted from the last change', () => {
    const tenant = Tenant.policy({ quietPeriodMs: 5 * second }).sense(6);
    expect(tenant.wakeAfterMs).toBe(5 * second);
    tenant.after(3 * second);
    tenant.sense(7);
    expect(tenant.types(4 * second)).toEqual([]);
    expect(tenant.types(1 * second)).toEqual(['plan']);
  });
  it('makes the first training of a new customization wait for the quiet period too', () => {
    const tenant = new Tenant().sense(6, { inserted: 1, configured: true });
    expect(tenant.types()).toEqual(['loadCustomization']);
    tenant.send({
      type: 'customizationLoaded',
      customizationId: 'c',
      snapshot: snapshot({ lastDataset: null, lastRun: null, trainedOptionsDigest: null, production: null }),
    });
    expect(tenant.types(29 * second)).toEqual([]);
    expect(tenant.after(1 * second)).toEqual([{ type: 'plan', customizationId: 'c', dirtyBuckets: null }]);
  });
  it('lets the oldest change wait no longer than maxWaitMs, however much changes', () => {
    const tenant = Tenant.policy({ quietPeriodMs: 5 * second, maxWaitMs: 12 * second });
    for (let sequence = 6; sequence < 10; sequence++) {
      tenant.sense(sequence);
      expect(tenant.types(3 * second)).toEqual(sequence === 9 ? ['plan'] : []);
    }
  });
  it('waits for minChangedRows', () => {
    const tenant = Tenant.policy({ minChangedRows: 3 }).sense(6, { inserted: 2 });
    expect(tenant.types(day)).toEqual([]);
    expect(tenant.status.why).toContain('2 of the 3 changed rows');
    tenant.sense(7);
    expect(tenant.types(30 * second)).toEqual(['plan']);
  });
  it('believes the comparison, not the count of events, about minChangedRows', () => {
    const tenant = Tenant.policy({ minChangedRows: 3 }).sense(6, { updated: 9 });
    expect(tenant.types(30 * second)).toEqual(['plan']);
    tenant.send({ type: 'planned', customizationId: 'c', plan: plan({ changedRows: 1 }) });
    expect(tenant.types(day)).toEqual(['recordDecision']);
    expect(tenant.status).toMatchObject({ phase: 'waiting', why: expect.stringContaining('1 of the 3 changed rows') });
    tenant.sense(7, { inserted: 2 });
    expect(tenant.types(30 * second)).toEqual(['plan']);
  });
  it('waits for minChangedFraction of the last dataset, and does not know it before there is one', () => {
    const tenant = Tenant.policy({ minChangedFraction: 0.01 }).sense(6, { inserted: 9 });
    expect(tenant.types(day)).toEqual([]);
    tenant.sense(7);
    expect(tenant.types(30 * second)).toEqual(['plan']);
    const fresh = Tenant.policy({ minChangedFraction: 0.01 }, { lastDataset: null, trainedOptionsDigest: null }).sense(6);
    expect(fresh.types(30 * second)).toEqual(['plan']);
  });
  it('starts due runs only in windowCron', () => {
    const tenant = Tenant.policy({ windowCron: '0 2 * * *' }).sense(6);
    expect(tenant.types(hour)).toEqual([]);
    expect(tenant.wakeAfterMs).toBe(13 * hour);
    expect(tenant.status.why).toContain('0 2 * * *');
    expect(tenant.types(13 * hour)).toEqual(['plan']);
  });
  it('does not start a run outside the window because an earlier window was missed', () => {
    const tenant = Tenant.policy({ windowCron: '0 2 * * *' }).sense(6);
    expect(tenant.types(20 * hour)).toEqual([]);
    expect(tenant.wakeAfterMs).toBe(18 * hour);
  });
  it('starts at most maxRunsPerDay runs in 24 hours', () => {
    const tenant = Tenant.policy({ maxRunsPerDay: 2 }, { recentRuns: [{ startedAtMs: noon - 20 * hour, trainingMs: 1 }] });
    tenant.sense(6).after(30 * second);
    tenant
      .send({ type: 'planned', customizationId: 'c', plan: plan() })
      .send({ type: 'runStarted', customizationId: 'c', run: 4, adopted: false });
    tenant.send({ type: 'runFinished', outcome: outcome() }).sense(11);
    expect(tenant.types(hour)).toEqual(['startRun']);
    expect(tenant.status.why).toContain('maxRunsPerDay is 2');
    expect(tenant.types(2 * hour)).toEqual([]);
    expect(tenant.types(1 * hour)).toEqual(['plan']);
  });
  it('spends at most budgetTrainingSeconds in 24 hours', () => {
    const recentRuns = [
      { startedAtMs: noon - 23 * hour, trainingMs: 40 * second },
      { startedAtMs: noon - 10 * hour, trainingMs: 61 * second },
    ];
    const tenant = Tenant.policy({ budgetTrainingSeconds: 100 }, { recentRuns }).sense(6);
    expect(tenant.types(30 * second)).toEqual([]);
    expect(tenant.status.why).toContain('budgetTrainingSeconds');
    expect(tenant.types(hour)).toEqual(['plan']);
    const never = Tenant.policy({ budgetTrainingSeconds: 0 }).sense(6);
    expect(never.types(10 * day)).toEqual([]);
  });
  it('in mode manual waits for retrain', () => {
    const tenant = Tenant.policy({ mode: 'manual' }).sense(6);
    expect(tenant.types(hour)).toEqual([]);
    expect(tenant.status).toMatchObject({ phase: 'waiting', why: expect.stringContaining('manual') });
    tenant.send({ type: 'retrain', request: { customizationId: 'c' } });
    expect(tenant.types()).toEqual(['plan']);
  });
  it('in mode propose says what a run would learn, and starts it on retrain', () => {
    const tenant = Tenant.policy({ mode: 'propose' }).sense(6);
    tenant.after(30 * second);
    tenant.send({ type: 'planned', customizationId: 'c', plan: plan({ changedRows: 7 }) });
    expect(tenant.types(hour)).toEqual(['recordDecision']);
    expect(tenant.status).toMatchObject({ phase: 'proposed', why: expect.stringContaining('7 changed rows'), pending: { inserted: 1 } });
    tenant.send({ type: 'retrain', request: { customizationId: 'c', reason: 'go' } });
    tenant.run();
    expect(tenant.status.phase).toBe('training');
  });
  it('gets a deleted example out by deletionDeadlineMs, whatever the other knobs say', () => {
    const strict: Partial<Policy> = {
      mode: 'manual',
      minChangedRows: 100,
      minChangedFraction: 0.5,
      windowCron: '0 0 1 1 *',
      maxRunsPerDay: 0,
      budgetTrainingSeconds: 0,
    };
    for (const policy of [strict, { ...strict, mode: 'propose' as const }, { ...strict, mode: 'auto' as const }]) {
      const tenant = Tenant.policy({ ...policy, deletionDeadlineMs: 10 * hour }).sense(6, { deleted: 1 });
      expect(tenant.types(9 * hour)).toEqual([]);
      expect(tenant.types(hour - 5 * 60 * second)).toEqual(['plan']);
      tenant.send({ type: 'planned', customizationId: 'c', plan: plan() });
      expect(tenant.after(0)).toMatchObject([{ type: 'startRun', trigger: 'deletion' }]);
    }
    const inserted = Tenant.policy({ ...strict, deletionDeadlineMs: 10 * hour }).sense(6, { inserted: 1 });
    expect(inserted.types(day)).toEqual([]);
  });
  it('is read again when the customization is changed', () => {
    const tenant = Tenant.policy({ mode: 'manual' }).sense(6, { inserted: 1, configured: true });
    expect(tenant.types(hour)).toEqual(['loadCustomization']);
    tenant.send({ type: 'customizationLoaded', customizationId: 'c', snapshot: snapshot() });
    expect(tenant.types()).toEqual(['plan']);
  });
});

describe('changes', () => {
  it('that were sensed before are dropped, whatever their offsets', () => {
    const tenant = Tenant.with().sense(6).sense(7);
    tenant.sense(7).sense(6);
    expect(tenant.status.pending.inserted).toBe(2);
    const again: ChangeDigest = {
      ...digest(7),
      ranges: { 'mw.modelwright.examples/0': { ...Object.values(digest(7).ranges)[0]!, firstOffset: '0', lastOffset: '0' } },
    };
    tenant.send({ type: 'changesSensed', digest: again });
    expect(tenant.status.pending.inserted).toBe(2);
  });
  it('of a later part of the same transaction are counted', () => {
    const tenant = Tenant.with().sense(6);
    tenant.send({ type: 'changesSensed', digest: digest(6, { inserted: 5 }, { row: 5 }) });
    expect(tenant.status.pending.inserted).toBe(6);
  });
  it('from a server that took over are counted, and its own redeliveries are not', () => {
    const other = '4e11fa47-71ca-11e1-9e33-c80aa9429562';
    const tenant = Tenant.with().sense(6);
    tenant.send({ type: 'changesSensed', digest: digest(2, { inserted: 1 }, { gtid: `${other}:2` }) });
    tenant.send({ type: 'changesSensed', digest: digest(2, { inserted: 1 }, { gtid: `${other}:2` }) });
    tenant.sense(6);
    expect(tenant.status.pending.inserted).toBe(2);
  });
  it('that arrive during a run form the next batch, and what the run has read already is dropped', () => {
    const tenant = Tenant.with().sense(6);
    tenant.after(30 * second);
    tenant
      .send({ type: 'planned', customizationId: 'c', plan: plan() })
      .send({ type: 'runStarted', customizationId: 'c', run: 4, adopted: false });
    tenant.sense(10);
    expect(tenant.types(hour / 12)).toEqual(['startRun']);
    const inCut = tenant.state;
    tenant.send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.status).toMatchObject({ phase: 'idle', pending: { inserted: 0 }, production: 4 });
    tenant.state = inCut;
    tenant.sense(11).send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.status).toMatchObject({ phase: 'waiting', pending: { inserted: 2 } });
    expect(tenant.types(30 * second)).toEqual(['plan']);
  });
  it('of a bucket that the run reused are not dropped, although its cut contains them', () => {
    const tenant = Tenant.with().sense(6);
    tenant.after(30 * second);
    tenant
      .send({ type: 'planned', customizationId: 'c', plan: plan() })
      .send({ type: 'runStarted', customizationId: 'c', run: 4, adopted: false });
    tenant.sense(10, { inserted: 1, dirtyBuckets: withBucket(noBuckets, 200) }).send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.status.pending.inserted).toBe(1);
  });
  it('that leave the rows equal start no run, and the reason says so', () => {
    const tenant = Tenant.with().sense(6).sense(7);
    tenant.after(30 * second);
    tenant.send({ type: 'planned', customizationId: 'c', plan: plan({ netChange: false, changedRows: 0 }) });
    const why = 'no run: 2 changes since 12:00 UTC left the rows equal to dataset 3';
    expect(tenant.after(0)).toEqual([
      { type: 'recordDecision', customizationId: 'c', decision: 1, kind: 'no_net_change', reason: why, cut: `${uuid}:1-10` },
    ]);
    expect(tenant.status).toMatchObject({ phase: 'idle', why, pending: { inserted: 0 } });
    expect(tenant.wakeAfterMs).toBeNull();
  });
  it('that are not enough for a model wait for more, and the reason names what is missing', () => {
    const tenant = Tenant.with({ lastDataset: null, trainedOptionsDigest: null }).sense(6);
    tenant.after(30 * second);
    tenant.send({ type: 'planned', customizationId: 'c', plan: plan({ ready: false, reasons: ['label sport has 1 of 5 examples'] }) });
    expect(tenant.types(day)).toEqual(['recordDecision']);
    expect(tenant.status).toMatchObject({ phase: 'waiting', why: expect.stringContaining('label sport has 1 of 5') });
    tenant.sense(7);
    expect(tenant.types(30 * second)).toEqual(['plan']);
  });
  it('of a workflow that starts with nothing are found by comparing the whole table', () => {
    const tenant = new Tenant().send({ type: 'tenantLoaded', customizations: [snapshot()] });
    expect(tenant.after(30 * second)).toEqual([{ type: 'plan', customizationId: 'c', dirtyBuckets: null }]);
    tenant.send({ type: 'planned', customizationId: 'c', plan: plan() });
    expect(tenant.after(0)).toMatchObject([{ type: 'startRun', trigger: 'recovery' }]);
  });
});

describe('options', () => {
  const changed = (tenant: Tenant, over: Partial<CustomizationSnapshot> = {}): Tenant => {
    tenant.sense(6, { configured: true });
    expect(tenant.types()).toEqual(['loadCustomization']);
    return tenant.send({ type: 'customizationLoaded', customizationId: 'c', snapshot: snapshot({ optionsDigest: 'o2', ...over }) });
  };
  it('that changed are a reason to train without any changed row, after the quiet period', () => {
    const tenant = changed(Tenant.with());
    expect(tenant.types(29 * second)).toEqual([]);
    expect(tenant.types(1 * second)).toEqual(['plan']);
    tenant.send({ type: 'planned', customizationId: 'c', plan: plan({ netChange: false, changedRows: 0 }) });
    expect(tenant.after(0)).toMatchObject([{ type: 'startRun', trigger: 'configuration' }]);
    tenant.send({ type: 'runStarted', customizationId: 'c', run: 4, adopted: false }).send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.types(day)).toEqual([]);
  });
  it('that were changed back start no run', () => {
    const tenant = changed(Tenant.with());
    tenant.send({ type: 'customizationLoaded', customizationId: 'c', snapshot: snapshot() });
    expect(tenant.types(day)).toEqual([]);
  });
  it('that change during a run are trained by the next one', () => {
    const tenant = Tenant.with().sense(5);
    tenant.after(30 * second);
    tenant
      .send({ type: 'planned', customizationId: 'c', plan: plan() })
      .send({ type: 'runStarted', customizationId: 'c', run: 4, adopted: false })
      .after(0);
    changed(tenant).send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.types(30 * second)).toEqual(['plan']);
  });
});

describe('a run', () => {
  const running = (over: Partial<CustomizationSnapshot> = {}): Tenant => {
    const tenant = Tenant.with(over).sense(6);
    tenant.nowMs += 30 * second;
    return tenant.run();
  };
  it('that failed is not repeated before something changes, and then learns the old changes too', () => {
    const tenant = running().send({
      type: 'runFinished',
      outcome: outcome({ state: 'failed', failureClass: 'invalid_data', reason: 'row x', dataset: null, version: null }),
    });
    expect(tenant.types(10 * day)).toEqual([]);
    expect(tenant.status).toMatchObject({
      phase: 'held',
      why: expect.stringContaining('row x'),
      lastFailure: { run: 4, failureClass: 'invalid_data' },
      pending: { inserted: 1 },
    });
    tenant.sense(11, { inserted: 1, dirtyBuckets: withBucket(noBuckets, 9) });
    expect(tenant.after(30 * second)).toEqual([
      { type: 'plan', customizationId: 'c', dirtyBuckets: withBucket(withBucket(noBuckets, 1), 9) },
    ]);
  });
  it('that failed while rows changed, which its dataset lacks, is followed by one that learns them', () => {
    const tenant = running().sense(11, { inserted: 0, updated: 1, dirtyBuckets: withBucket(noBuckets, 9) });
    tenant.send({ type: 'runFinished', outcome: outcome({ state: 'failed', failureClass: 'invalid_data', version: null }) });
    expect(tenant.after(30 * second)).toEqual([
      { type: 'plan', customizationId: 'c', dirtyBuckets: withBucket(withBucket(noBuckets, 1), 9) },
    ]);
  });
  it('that failed after its dataset was built is trained again on retrain, although no row has changed since', () => {
    const tenant = running().send({ type: 'runFinished', outcome: outcome({ state: 'failed', failureClass: 'error', version: null }) });
    tenant.send({ type: 'retrain', request: { customizationId: 'c' } });
    expect(tenant.types()).toEqual(['plan']);
    tenant.send({ type: 'planned', customizationId: 'c', plan: plan({ netChange: false, changedRows: 0 }) });
    expect(tenant.types()).toEqual(['startRun']);
  });
  it('that failed because the store was away is tried again, later each time', () => {
    const tenant = running();
    const failed = (run: number): TenantEvent => ({
      type: 'runFinished',
      outcome: outcome({ run, state: 'failed', failureClass: 'storage', dataset: null, version: null }),
    });
    tenant.send(failed(4));
    expect(tenant.wakeAfterMs).toBe(30 * second);
    tenant.nowMs += 30 * second;
    tenant.run(5).send(failed(5));
    expect(tenant.wakeAfterMs).toBe(60 * second);
  });
  it('that was cancelled stays cancelled until something changes', () => {
    const tenant = running().send({
      type: 'runFinished',
      outcome: outcome({ state: 'cancelled', reason: 'cancelled on request', dataset: null, version: null }),
    });
    expect(tenant.types(day)).toEqual([]);
    expect(tenant.status.phase).toBe('held');
  });
  it('that was rejected is not repeated, and production stays', () => {
    const tenant = running().send({
      type: 'runFinished',
      outcome: outcome({ state: 'rejected', reason: 'worse on sport', version: null }),
    });
    expect(tenant.types(day)).toEqual([]);
    expect(tenant.status).toMatchObject({ phase: 'idle', production: 3, why: expect.stringContaining('worse on sport') });
  });
  it('is finished once, however often that is told, and an old run finishes nothing', () => {
    const tenant = running().send({ type: 'runFinished', outcome: outcome({ run: 3 }) });
    expect(tenant.status.activeRun).toBe(4);
    tenant.send({ type: 'runFinished', outcome: outcome() }).sense(11);
    const { state } = tenant;
    tenant.send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.state).toEqual(state);
  });
  it('that stays silent is asked for, and its end is taken from its row', () => {
    const tenant = running();
    expect(tenant.wakeAfterMs).toBe(10 * 60 * second);
    expect(tenant.after(10 * 60 * second)).toEqual([{ type: 'checkRun', customizationId: 'c', run: 4 }]);
    expect(tenant.types(second)).toEqual([]);
    tenant.send({ type: 'runChecked', customizationId: 'c', run: 4, outcome: null });
    expect(tenant.types(5 * 60 * second)).toEqual([]);
    expect(tenant.types(5 * 60 * second)).toEqual(['checkRun']);
    tenant.send({ type: 'runChecked', customizationId: 'c', run: 4, outcome: outcome() });
    expect(tenant.status).toMatchObject({ phase: 'idle', production: 4 });
  });
  it('is cancelled, and the customization forgotten, when it was deleted', () => {
    const tenant = running().sense(11, { configured: true });
    expect(tenant.types()).toEqual(['loadCustomization']);
    tenant.send({ type: 'customizationLoaded', customizationId: 'c', snapshot: null });
    expect(tenant.after(0)).toMatchObject([{ type: 'cancelRun', run: 4 }]);
    expect(tenant.state.customizations).toEqual({});
    tenant.send({ type: 'runFinished', outcome: outcome({ state: 'cancelled' }) });
    expect(tenant.state.customizations).toEqual({});
  });
  it('follows the comparison of a whole table whose customization was gone and came back with its dataset', () => {
    const tenant = Tenant.with().sense(6, { configured: true });
    tenant.types();
    tenant.send({ type: 'customizationLoaded', customizationId: 'c', snapshot: null });
    // Told of while nobody knew it: forgotten with it.
    tenant.sense(7).sense(8, { inserted: 0, configured: true });
    expect(tenant.types()).toEqual(['loadCustomization']);
    tenant.send({ type: 'customizationLoaded', customizationId: 'c', snapshot: snapshot() });
    expect(tenant.after(30 * second)).toEqual([{ type: 'plan', customizationId: 'c', dirtyBuckets: null }]);
  });
  it('of a customization that was deleted while it started is cancelled', () => {
    const tenant = Tenant.with().sense(6);
    tenant.after(30 * second);
    tenant.send({ type: 'planned', customizationId: 'c', plan: plan() });
    tenant.after(0);
    tenant
      .send({ type: 'customizationLoaded', customizationId: 'c', snapshot: null })
      .send({ type: 'runStarted', customizationId: 'c', run: 4, adopted: false });
    expect(tenant.after(0)).toMatchObject([{ type: 'cancelRun', run: 4 }]);
  });
});

describe('people', () => {
  it('pause a customization: it accumulates and starts nothing', () => {
    const tenant = Tenant.with().send({ type: 'stateSet', customizationId: 'c', state: 'paused' }).sense(6).sense(7);
    expect(tenant.types(day)).toEqual([]);
    expect(tenant.status).toMatchObject({ phase: 'paused', pending: { inserted: 2 } });
    tenant.send({ type: 'stateSet', customizationId: 'c', state: 'active' });
    expect(tenant.types()).toEqual(['plan']);
  });
  it('who ask for a training of what was learned already get a reason instead, and a run with force', () => {
    const tenant = Tenant.with().send({ type: 'retrain', request: { customizationId: 'c' } });
    expect(tenant.after(0)).toEqual([{ type: 'plan', customizationId: 'c', dirtyBuckets: noBuckets }]);
    const equal: TenantEvent = { type: 'planned', customizationId: 'c', plan: plan({ netChange: false, changedRows: 0 }) };
    tenant.send(equal);
    expect(tenant.after(0)).toMatchObject([{ type: 'recordDecision', reason: expect.stringContaining('retrain with force') }]);
    tenant.send({ type: 'retrain', request: { customizationId: 'c', force: true, reason: 'new seed' } });
    expect(tenant.types()).toEqual(['plan']);
    tenant.send(equal);
    expect(tenant.after(0)).toMatchObject([{ type: 'startRun', trigger: 'retrain', force: true, reason: 'new seed' }]);
  });
  it('who ask during a run get the next one', () => {
    const tenant = Tenant.with().sense(6);
    tenant.nowMs += 30 * second;
    tenant.run().send({ type: 'retrain', request: { customizationId: 'c', force: true } });
    expect(tenant.types()).toEqual([]);
    tenant.send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.types()).toEqual(['plan']);
  });
  it('read one line a customization in the Web UI', () => {
    const tenant = Tenant.policy({ mode: 'manual' }).sense(6, { inserted: 2, deleted: 1 });
    expect(tenantDetails(tenant.state, tenant.nowMs)).toMatch(/\| c \| waiting \| \+2 ~0 -1 \| .* \| v3 \|/);
  });
});

describe('a gap in the log', () => {
  it('makes the whole table of the named customization compared, once, after the quiet period', () => {
    const tenant = Tenant.policy({ quietPeriodMs: 5 * second });
    tenant.send({ type: 'changesMissed', missed: { customizationIds: ['c'], reason: 'the binary log was purged' } });
    expect(tenant.types(4 * second)).toEqual([]);
    expect(tenant.after(1 * second)).toEqual([{ type: 'plan', customizationId: 'c', dirtyBuckets: null }]);
    expect(tenant.send({ type: 'planned', customizationId: 'c', plan: plan({ netChange: false, changedRows: 0 }) }).types(day)).toEqual([
      'recordDecision',
    ]);
  });
  it('of the whole tenant concerns every customization, and what was pending stays pending', () => {
    const tenant = Tenant.policy({ quietPeriodMs: 5 * second }).sense(6, { deleted: 1 });
    tenant.send({ type: 'changesMissed', missed: { customizationIds: null, reason: 'topics were recreated' } });
    expect(tenant.entry.pending).toMatchObject({ deleted: 1, dirtyBuckets: null, changedRows: null });
  });
  it('is compared even if a dataset contains everything that was sensed before it', () => {
    const tenant = Tenant.with().sense(6);
    tenant.nowMs += 30 * second;
    tenant.run();
    // Sensed before the cut, the gap after it: nobody knows which commits it hid.
    tenant.sense(7).send({ type: 'changesMissed', missed: { customizationIds: ['c'], reason: 'the binary log was purged' } });
    tenant.send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.entry.pending).toMatchObject({ dirtyBuckets: null, changedRows: null });
  });
  it('in which settings changed makes them read again, and a customization that is gone forgotten', () => {
    const tenant = Tenant.with();
    tenant.send({ type: 'changesMissed', missed: { customizationIds: [], settingsIds: ['c', 'gone'], reason: 'the topic was recreated' } });
    expect(tenant.types()).toEqual(['loadCustomization', 'loadCustomization']);
    tenant.send({ type: 'customizationLoaded', customizationId: 'gone', snapshot: null });
    expect(Object.keys(tenant.state.customizations)).toEqual(['c']);
    expect(tenant.entry.pending).toBeNull();
  });
});

describe('a log that was reset', () => {
  it('counts from 1 again, and nothing of its new epoch is taken for a redelivery of the old one', () => {
    const tenant = Tenant.with().sense(300);
    tenant.send({ type: 'changesSensed', digest: digest(5, { inserted: 1 }, { gtid: `${uuid}:5` }) });
    expect(tenant.entry.pending).toMatchObject({ inserted: 1 });
    const reset = digest(5, { inserted: 2, lastGtid: `${uuid}:5@1` }, { gtid: `${uuid}:5@1`, file: 'binlog.000001', pos: 500 });
    tenant.send({ type: 'changesSensed', digest: reset });
    expect(tenant.entry.pending).toMatchObject({ inserted: 3 });
    tenant.send({ type: 'changesSensed', digest: reset });
    expect(tenant.entry.pending).toMatchObject({ inserted: 3 });
    tenant.send({ type: 'changesSensed', digest: digest(301) });
    expect(tenant.entry.pending).toMatchObject({ inserted: 3 });
  });
  it('leaves changes pending that an older cut seems to contain by their number', () => {
    const tenant = Tenant.with().sense(6);
    tenant.nowMs += 30 * second;
    tenant.run();
    tenant.send({ type: 'changesSensed', digest: digest(7, { inserted: 1, lastGtid: `${uuid}:5@1` }, { gtid: `${uuid}:5@1` }) });
    tenant.send({ type: 'runFinished', outcome: outcome() });
    expect(tenant.entry.pending).toMatchObject({ inserted: 1 });
  });
});

describe('a comparison that asks', () => {
  const bucketsOf = (tenant: Tenant) => tenantPending(tenant.state, tenant.nowMs).customizations['c']?.buckets;

  it('hears of the buckets of what waits and of what is being learned, and of nothing when all is learned', () => {
    const tenant = Tenant.with();
    expect(bucketsOf(tenant)).toBe(noBuckets);
    tenant.sense(6, { inserted: 1, dirtyBuckets: withBucket(noBuckets, 1) });
    expect(bucketsOf(tenant)).toBe(withBucket(noBuckets, 1));
    tenant.nowMs += 30 * second;
    tenant.run().sense(11, { inserted: 1, dirtyBuckets: withBucket(noBuckets, 9) });
    expect(bucketsOf(tenant)).toBe([1, 9].reduce(withBucket, noBuckets));
    tenant.send({ type: 'runFinished', outcome: outcome() });
    expect(bucketsOf(tenant)).toBe(withBucket(noBuckets, 9));
    tenant.send({ type: 'changesMissed', missed: { customizationIds: ['c'], reason: 'a gap' } });
    expect(bucketsOf(tenant)).toBeNull();
  });

  it('sees by a marker how far the log is counted, and the marker is no change of anything', () => {
    const tenant = Tenant.with();
    const marker = digest(40);
    tenant.send({
      type: 'changesSensed',
      digest: { ...marker, customizations: { '': changes({ inserted: 1, deleted: 1, lastGtid: `${uuid}:40` }) } },
    });
    expect(tenantPending(tenant.state, tenant.nowMs).watermarks['mw.modelwright.examples/0']?.[uuid]?.gtid).toBe(`${uuid}:40`);
    expect(Object.keys(tenant.state.customizations)).toEqual(['c']);
    expect(tenant.types(day)).toEqual([]);
  });
});
