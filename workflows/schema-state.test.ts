import { describe, expect, it } from 'vitest';
import type { SchemaChange } from '../core/schema-change.ts';
import { defaultPolicy } from '../core/policy.ts';
import { decide } from './tenant-decide.ts';
import { type TenantEvent, applyEvent } from './tenant-events.ts';
import { type Entry, type TenantState, newEntry, newTenantState, schemaOf, withEntry } from './tenant-state.ts';
import { heldReason, phaseOf, tenantDetails, whyOf } from './tenant-status.ts';

const t0 = 1_700_000_000_000;
const entryWith = (changes: Partial<Entry> = {}): Entry => ({
  ...newEntry,
  load: 'done',
  settings: {
    name: 'C',
    businessModel: 'text-classification',
    state: 'active',
    policy: { ...defaultPolicy, quietPeriodMs: 0 },
    optionsDigest: 'o',
  },
  lastDataset: { number: 1, digest: 'd', rows: 100, cut: 'x:1-5' },
  trainedOptions: 'o',
  ...changes,
});
const change = (changes: Partial<SchemaChange> = {}): SchemaChange => ({
  customizationId: 'c',
  changeId: 'x:6/shop.reviews',
  table: 'shop.reviews',
  kind: 'column_dropped',
  effect: 'held',
  reason: 'shop.reviews: column body was dropped: training is held',
  schemaVersion: 2,
  gtid: 'x:6',
  atMs: t0,
  ...changes,
});
const after = (state: TenantState, ...events: TenantEvent[]): TenantState =>
  events.reduce((next, event) => applyEvent(next, event, t0).state, state);
const told = (changes: Partial<SchemaChange> = {}): TenantEvent => ({ type: 'schemaChanged', change: change(changes) });
const tenant = (entry = entryWith()): TenantState => withEntry(newTenantState('t'), 'c', entry);
const entryOf = (state: TenantState): Entry => state.customizations['c'] ?? newEntry;
const pending = (): Entry['pending'] => ({
  inserted: 1,
  updated: 0,
  deleted: 0,
  changedRows: 1,
  dirtyBuckets: '0'.repeat(64),
  firstSeenMs: t0 - 60_000,
  lastSeenMs: t0 - 60_000,
  firstCommitMs: t0 - 60_000,
  firstDeletedMs: t0 - 90_000_000,
  lastGtid: 'x:4',
});

describe('a held change of structure', () => {
  it('starts nothing, whatever is due: changes, an overdue deletion, a person with force', () => {
    const state = after(tenant(entryWith({ pending: pending() })), told(), {
      type: 'retrain',
      request: { customizationId: 'c', force: true },
    });
    expect(decide(state, t0 + 1_000_000_000)).toMatchObject({ commands: [], wakeAtMs: null });
    expect(phaseOf(entryOf(state))).toBe('held');
    expect(whyOf(entryOf(state), t0)).toBe(
      '1 change since 22:12 UTC: shop.reviews: column body was dropped: training is held (approveSchema); the run that was asked for waits for that',
    );
    expect(heldReason(state)).toContain('column body was dropped');
    expect(tenantDetails(state, t0)).toContain('| c | held |');
  });

  it('is told twice and counts once, also after the answer', () => {
    const once = after(tenant(), told());
    expect(after(once, told())).toEqual(once);
    const answered = after(once, {
      type: 'schemaDecided',
      customizationId: 'c',
      decided: { changeIds: [change().changeId], rebuild: true, schemaVersion: 2 },
    });
    expect(schemaOf(entryOf(after(answered, told()))).held).toBeNull();
  });

  it('ends with the answer, and everything is compared then', () => {
    const state = after(tenant(), told(), {
      type: 'schemaDecided',
      customizationId: 'c',
      decided: { changeIds: [change().changeId], rebuild: true, schemaVersion: 2 },
    });
    expect(decide(state, t0 + 1).commands).toEqual([{ type: 'plan', customizationId: 'c', dirtyBuckets: null }]);
  });

  it('goes on for a change that came after the answer', () => {
    const state = after(tenant(), told(), told({ changeId: 'x:7/shop.reviews' }), {
      type: 'schemaDecided',
      customizationId: 'c',
      decided: { changeIds: [change().changeId], rebuild: true, schemaVersion: 2 },
    });
    expect(schemaOf(entryOf(state)).held?.changeId).toBe('x:7/shop.reviews');
  });

  it('is not told any more once it was answered before the signal came', () => {
    const state = after(
      tenant(),
      { type: 'schemaDecided', customizationId: 'c', decided: { changeIds: [change().changeId], rebuild: false, schemaVersion: 2 } },
      told(),
    );
    expect(schemaOf(entryOf(state)).held).toBeNull();
    expect(entryOf(state).pending).toBeNull();
  });

  it('takes the verdict from a comparison that is on its way, and keeps its changes', () => {
    const begun = decide(tenant(entryWith({ pending: pending() })), t0).state;
    const plan = { netChange: true, ready: true, reasons: [], rows: 9, changedRows: 1, cut: 'x:1-6' };
    const state = after(begun, told(), { type: 'planned', customizationId: 'c', plan });
    expect(entryOf(state)).toMatchObject({ activity: null, batch: null, pending: { inserted: 1 } });
    expect(decide(state, t0 + 1).commands).toEqual([]);
  });

  it('lets an active run go on', () => {
    const activity = { kind: 'running', run: 3, trigger: 'changes', sinceMs: t0, checkAtMs: t0 + 1_000, checking: false } as const;
    const state = after(tenant(entryWith({ activity })), told());
    expect(entryOf(state).activity).toEqual(activity);
    expect(phaseOf(entryOf(state))).toBe('training');
  });

  it('that a comparison met first is replaced by what the log says of it', () => {
    const read = change({ changeId: 'read/0123/shop.reviews' });
    const begun = decide(tenant(entryWith({ pending: pending() })), t0).state;
    const held = after(begun, { type: 'planFailed', customizationId: 'c', reason: 'r', held: read });
    expect(phaseOf(entryOf(held))).toBe('held');
    expect(entryOf(held).pending).toMatchObject({ inserted: 1 });
    expect(schemaOf(entryOf(after(held, told()))).held?.changeId).toBe(change().changeId);
    expect(schemaOf(entryOf(after(held, told({ effect: 'rebuild' })))).held).toBeNull();
  });

  it('is kept for a customization that was not known yet', () => {
    const state = after(newTenantState('t'), told());
    expect(decide(state, t0).commands).toEqual([{ type: 'loadCustomization', customizationId: 'c' }]);
    const loaded = after(decide(state, t0).state, {
      type: 'customizationLoaded',
      customizationId: 'c',
      snapshot: {
        customizationId: 'c',
        name: 'C',
        businessModel: 'text-classification',
        state: 'active',
        policy: defaultPolicy,
        optionsDigest: 'o',
        options: {},
        lastDataset: null,
        lastRun: null,
        production: null,
        recentRuns: [],
      },
    });
    expect(phaseOf(entryOf(loaded))).toBe('held');
  });
});

describe('a change of structure that needs no answer', () => {
  it('that is recorded changes nothing but the version', () => {
    const state = after(tenant(), told({ effect: 'recorded' }));
    expect(entryOf(state)).toEqual({ ...entryWith(), schema: { held: null, version: 2, told: [change().changeId] } });
  });

  it('that needs a rebuild has the whole table compared, and no run where the rows are equal', () => {
    const state = after(tenant(), told({ effect: 'rebuild' }));
    const begun = decide(state, t0 + 1);
    expect(begun.commands).toEqual([{ type: 'plan', customizationId: 'c', dirtyBuckets: null }]);
    const plan = { netChange: false, ready: true, reasons: [], rows: 9, changedRows: 0, cut: 'x:1-6' };
    expect(applyEvent(begun.state, { type: 'planned', customizationId: 'c', plan }, t0 + 2).commands.map(({ type }) => type)).toEqual([
      'recordDecision',
    ]);
  });

  it('starts a run although no row differs under adopt_and_retrain', () => {
    const state = after(tenant(), told({ effect: 'rebuild', retrain: true }));
    const begun = decide(state, t0 + 1);
    const plan = { netChange: false, ready: true, reasons: [], rows: 9, changedRows: 0, cut: 'x:1-6' };
    const step = applyEvent(begun.state, { type: 'planned', customizationId: 'c', plan }, t0 + 2);
    expect(step.commands).toMatchObject([{ type: 'startRun', force: true, reason: change().reason }]);
  });

  it('lets a run that met an unapproved structure be compared again at once', () => {
    const activity = { kind: 'running', run: 3, trigger: 'changes', sinceMs: t0, checkAtMs: t0 + 1_000, checking: false } as const;
    const outcome = {
      customizationId: 'c',
      run: 3,
      state: 'failed',
      reason: 'r',
      failureClass: 'schema_held',
      dataset: null,
      version: null,
      trainingMs: 0,
    } as const;
    const state = after(tenant(entryWith({ activity, batch: pending() })), { type: 'runFinished', outcome });
    expect(decide(state, t0 + 1).commands).toMatchObject([{ type: 'plan' }]);
  });
});
