import { describe, expect, it } from 'vitest';
import type { DatasetPlan } from '../activities/ports.ts';
import type { CustomizationSnapshot } from '../core/customization.ts';
import { noBuckets } from '../core/dirty-buckets.ts';
import { type Policy, defaultPolicy } from '../core/policy.ts';
import type { TenantQuotas } from '../core/quotas.ts';
import type { RunOutcome } from '../core/run.ts';
import { decide } from './tenant-decide.ts';
import { type TenantEvent, applyEvent } from './tenant-events.ts';
import { type TenantState, newTenantState } from './tenant-state.ts';
import { tenantPending, tenantStatus } from './tenant-status.ts';

const noon = Date.parse('2026-03-02T12:00:00Z');
const second = 1_000;
const hour = 3_600_000;
const day = 24 * hour;
const gtid = '3e11fa47-71ca-11e1-9e33-c80aa9429562:1';

const snapshot = (customizationId: string, over: Partial<CustomizationSnapshot> = {}): CustomizationSnapshot => ({
  customizationId,
  name: customizationId,
  businessModel: 'text-classification',
  state: 'active',
  policy: defaultPolicy,
  optionsDigest: 'o1',
  options: {},
  lastDataset: null,
  lastRun: null,
  production: null,
  recentRuns: [],
  ...over,
});
const plan: DatasetPlan = { netChange: true, ready: true, reasons: [], rows: 9, changedRows: 9, cut: gtid };
const ended = (customizationId: string, run: number, over: Partial<RunOutcome> = {}): TenantEvent => ({
  type: 'runFinished',
  outcome: {
    customizationId,
    run,
    state: 'succeeded',
    reason: null,
    failureClass: null,
    dataset: { number: run, digest: 'd', rows: 9, cut: gtid },
    version: run,
    trainingMs: 1,
    ...over,
  },
});

/** A tenant with several customizations, each with changes that became due one second after the one before. */
class Tenant {
  nowMs = noon;
  state: TenantState = newTenantState('t');

  constructor(quotas: TenantQuotas, ids: readonly string[], policy: Partial<Policy> = {}, dueInOrder: readonly string[] = ids) {
    const customizations = ids.map((id) => snapshot(id, { policy: { ...defaultPolicy, ...policy } }));
    this.send({ type: 'tenantLoaded', customizations, quotas });
    dueInOrder.forEach((id, i) => this.#pending(id, i));
  }

  #pending(id: string, delaySeconds: number, deleted = 0): void {
    const entry = this.state.customizations[id];
    if (!entry?.pending) throw new Error(`${id} has nothing pending`);
    const seenMs = this.nowMs + delaySeconds * second;
    const firstDeletedMs = deleted > 0 ? seenMs : null;
    const pending = { ...entry.pending, deleted, dirtyBuckets: noBuckets, firstSeenMs: seenMs, lastSeenMs: seenMs, firstDeletedMs };
    this.state = { ...this.state, customizations: { ...this.state.customizations, [id]: { ...entry, pending } } };
  }

  deleted(id: string): this {
    this.#pending(id, 5, 1);
    return this;
  }

  send(event: TenantEvent): this {
    this.state = applyEvent(this.state, event, this.nowMs).state;
    return this;
  }

  /** Lets time pass; what starts then goes on to a running run. */
  after(ms: number): string[] {
    this.nowMs += ms;
    const { state, commands } = decide(this.state, this.nowMs);
    this.state = state;
    const started = commands.filter(({ type }) => type === 'plan').map(({ customizationId }) => customizationId);
    for (const customizationId of started)
      this.send({ type: 'planned', customizationId, plan }).send({ type: 'runStarted', customizationId, run: 1, adopted: false });
    return started;
  }

  why(id: string): string {
    return tenantStatus(this.state, this.nowMs).customizations.find(({ customizationId }) => customizationId === id)?.why ?? '';
  }
  get wakeAfterMs(): number | null {
    const { wakeAtMs } = decide(this.state, this.nowMs);
    return wakeAtMs === null ? null : wakeAtMs - this.nowMs;
  }
}

describe('concurrentTrainings', () => {
  it('lets so many runs of a tenant train at the same time; the longest waiting starts when one ends', () => {
    const tenant = new Tenant({ concurrentTrainings: 2 }, ['a', 'b', 'c', 'd'], {}, ['d', 'c', 'b', 'a']);
    expect(tenant.after(30 * second)).toEqual(['d']);
    expect(tenant.after(second)).toEqual(['c']);
    expect(tenant.after(second)).toEqual([]);
    expect(tenant.after(hour)).toEqual([]);
    expect(tenant.why('b')).toContain('waits: 2 of 2 trainings of this tenant run');
    expect(tenantPending(tenant.state, tenant.nowMs).customizations['a']?.why).toContain('waits: 2 of 2');
    expect(tenant.send(ended('c', 1)).after(0)).toEqual(['b']);
    expect(tenant.send(ended('d', 1)).after(0)).toEqual(['a']);
    expect(Object.values(tenant.state.customizations).map(({ waitingSinceMs }) => waitingSinceMs)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('unset limits nothing, and all start in the order of their customizations', () => {
    const tenant = new Tenant({}, ['d', 'c', 'b', 'a']);
    expect(tenant.after(hour)).toEqual(['d', 'c', 'b', 'a']);
  });

  it('of zero lets nothing train, forced or not, until an operator allows more', () => {
    const tenant = new Tenant({ concurrentTrainings: 0 }, ['a']).send({ type: 'retrain', request: { customizationId: 'a', force: true } });
    expect(tenant.after(day)).toEqual([]);
    expect(tenant.why('a')).toContain('0 of 0 trainings');
    tenant.send({
      type: 'customizationLoaded',
      customizationId: 'a',
      snapshot: snapshot('a', { tenantQuotas: { concurrentTrainings: 1 } }),
    });
    expect(tenant.after(0)).toEqual(['a']);
  });

  it('is not kept by a paused run, whose place another takes', () => {
    const tenant = new Tenant({ concurrentTrainings: 1 }, ['a', 'b']);
    expect(tenant.after(hour)).toEqual(['a']);
    const paused = { sinceMs: tenant.nowMs, by: 'ann', reason: 'b first' };
    const answer = { customizationId: 'a', run: 1, request: 'p', accepted: true, message: null };
    tenant.send({ type: 'pauseAnswered', answer: { ...answer, paused } });
    expect(tenant.why('a')).toBe('run 1 is paused since 13:00 UTC by ann: b first (resumeRun goes on)');
    expect(tenant.after(0)).toEqual(['b']);
    tenant.send({ type: 'pauseAnswered', answer: { ...answer, paused: null } });
    expect(tenant.why('a')).toMatch(/^run 1 \(\w+\) since/);
  });

  it('starts a deletion whose deadline is near before those that wait longer, and not before', () => {
    const tenant = new Tenant({ concurrentTrainings: 1 }, ['a', 'b', 'c'], { deletionDeadlineMs: hour });
    tenant.deleted('c');
    expect(tenant.after(30 * second)).toEqual(['a']);
    expect(tenant.after(10 * second)).toEqual([]);
    const { state } = tenant;
    expect(tenant.send(ended('a', 1)).after(0)).toEqual(['b']);
    tenant.state = state;
    expect(tenant.after(hour)).toEqual([]);
    expect(tenant.send(ended('a', 1)).after(0)).toEqual(['c']);
  });

  it('remembers who waits over new changes, and forgets it when nothing is due any more', () => {
    const tenant = new Tenant({ concurrentTrainings: 1 }, ['a', 'b', 'c']);
    tenant.after(30 * second);
    tenant.after(hour);
    const since = tenant.state.customizations['b']?.waitingSinceMs;
    expect(since).toBe(tenant.nowMs);
    tenant.send({ type: 'changesMissed', missed: { customizationIds: ['b'], reason: 'a gap' } });
    tenant.after(10 * second);
    expect(tenant.state.customizations['b']?.waitingSinceMs).toBe(since);
    tenant.send({ type: 'stateSet', customizationId: 'b', state: 'paused' }).after(0);
    expect(tenant.state.customizations['b']?.waitingSinceMs).toBeUndefined();
  });
});

describe('gpuSecondsPerDay', () => {
  it('holds everything when it is used up, and goes on when enough of it is a day old', () => {
    const tenant = new Tenant({ gpuSecondsPerDay: 100 }, ['a', 'b']);
    expect(tenant.after(30 * second)).toEqual(['a']);
    tenant.send(ended('a', 1, { gpuSeconds: 60 }));
    expect(tenant.after(second)).toEqual(['b']);
    tenant.nowMs += hour;
    tenant.send(ended('b', 1, { gpuSeconds: 40 })).send(ended('b', 1, { gpuSeconds: 40 }));
    tenant.send({ type: 'retrain', request: { customizationId: 'b', force: true } });
    expect(tenant.after(0)).toEqual([]);
    expect(tenant.why('b')).toMatch(/held: 100 of 100 GPU seconds of this tenant in 24 hours are used \(gpuSecondsPerDay\), due in 23 h/);
    expect(tenant.wakeAfterMs).toBe(day - hour - second);
    expect(tenant.after(day - hour - 2 * second)).toEqual([]);
    expect(tenant.after(second)).toEqual(['b']);
  });

  it('counts what a run of a deleted customization has used', () => {
    const tenant = new Tenant({ gpuSecondsPerDay: 100 }, ['a', 'b']);
    tenant.after(30 * second);
    tenant
      .send({ type: 'customizationLoaded', customizationId: 'a', snapshot: null })
      .send(ended('a', 1, { state: 'cancelled', gpuSeconds: 100 }));
    expect(tenant.after(hour)).toEqual([]);
  });

  it('is known after a restart, and unset or not reached limits nothing', () => {
    const use = [{ customizationId: 'a', run: 7, atMs: noon - hour, gpuSeconds: 99 }];
    const loaded = (quotas: TenantQuotas): Tenant => {
      const tenant = new Tenant(quotas, ['b']);
      return tenant.send({ type: 'tenantLoaded', customizations: [], quotas, gpuUse: use });
    };
    expect(loaded({ gpuSecondsPerDay: 99 }).after(hour)).toEqual([]);
    expect(loaded({ gpuSecondsPerDay: 100 }).after(hour)).toEqual(['b']);
    expect(loaded({}).after(hour)).toEqual(['b']);
    const none = new Tenant({ gpuSecondsPerDay: 0 }, ['b']);
    expect(none.after(10 * day)).toEqual([]);
    expect(none.wakeAfterMs).toBeNull();
  });

  it('stops a run whose changes then wait', () => {
    const tenant = new Tenant({ gpuSecondsPerDay: 100 }, ['a']);
    tenant.after(30 * second);
    tenant.send(ended('a', 1, { state: 'cancelled', failureClass: 'budget', reason: 'spent', gpuSeconds: 100, version: null }));
    const [status] = tenantStatus(tenant.state, tenant.nowMs).customizations;
    expect(status).toMatchObject({ phase: 'held', why: 'run 1 was cancelled: spent' });
    expect(tenant.state.customizations['a']?.pending).not.toBeNull();
  });
});
