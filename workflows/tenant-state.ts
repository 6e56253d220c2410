import type { CustomizationSnapshot, CustomizationState } from '../core/customization.ts';
import type { DirtyBuckets } from '../core/dirty-buckets.ts';
import type { FailureClass } from '../core/failure-types.ts';
import type { Policy } from '../core/policy.ts';
import type { GpuUse, TenantQuotas } from '../core/quotas.ts';
import { type RunPause, type RunTrigger, endedRunStates } from '../core/run.ts';
import type { HeldSchema } from '../core/schema-change.ts';
import type { RecentRun } from './due-time.ts';
import { type PendingChanges, bucketsToRead, unknownChanges } from './pending-changes.ts';
import type { Watermarks } from './watermarks.ts';

/** Everything that a tenant workflow knows: plain JSON, carried over continue-as-new. */
export type TenantState = {
  readonly tenantId: string;
  readonly watermarks: Watermarks;
  readonly customizations: Readonly<Record<string, Entry>>;
  /** Counts requests for runs and decisions, for their idempotency keys. */
  readonly requests: number;
  /** Both absent in states that were carried over from before there were quotas: nothing is limited. */
  readonly quotas?: TenantQuotas;
  readonly gpuUse?: readonly GpuUse[];
};

export type Settings = {
  readonly name: string;
  readonly businessModel: string;
  readonly state: CustomizationState;
  readonly policy: Policy;
  readonly optionsDigest: string;
};

/** Why nothing is started although something is pending; a new change, `retrain` or `retryAtMs` ends it. */
export type Hold = { readonly kind: 'failed' | 'cancelled' | 'not_ready'; readonly reason: string; readonly retryAtMs: number | null };

/** A person's wish for a run. */
export type RunRequest = { readonly reason: string | null; readonly force: boolean; readonly actor: string | null };

/** What is being done for a customization: at most one thing at a time. */
export type Activity =
  | { readonly kind: 'planning'; readonly trigger: RunTrigger; readonly sinceMs: number }
  | {
      readonly kind: 'starting';
      readonly trigger: RunTrigger;
      readonly reason: string | null;
      readonly requestKey: string;
      readonly force: boolean;
      readonly sinceMs: number;
    }
  | {
      readonly kind: 'running';
      readonly run: number;
      readonly trigger: RunTrigger;
      readonly sinceMs: number;
      /** When the workflow asks what became of the run, if it was not told before. */
      readonly checkAtMs: number;
      readonly checking: boolean;
      /** Absent or null: it is not paused. */
      readonly paused?: RunPause | null;
    };

export type LastDataset = { readonly number: number; readonly digest: string; readonly rows: number; readonly cut: string };

export type Entry = {
  readonly settings: Settings | null;
  readonly load: 'needed' | 'running' | 'done';
  readonly pending: PendingChanges | null;
  /** The changes that the present activity covers. */
  readonly batch: PendingChanges | null;
  /** Options that the batch's run trains with. */
  readonly batchOptions: string | null;
  readonly request: RunRequest | null;
  readonly activity: Activity | null;
  readonly hold: Hold | null;
  /** In mode propose: what a run would learn. */
  readonly proposal: { readonly changedRows: number } | null;
  readonly lastDataset: LastDataset | null;
  /** A training of the last dataset has ended well; false: it failed, and the dataset must still be learned. */
  readonly learned: boolean;
  readonly trainedOptions: string | null;
  readonly optionsChangedAtMs: number | null;
  readonly recentRuns: readonly RecentRun[];
  /** Runs that failed one after another. */
  readonly failures: number;
  readonly lastFailure: { readonly run: number; readonly failureClass: FailureClass | null; readonly reason: string | null } | null;
  /** The last answer to «why no run?». */
  readonly lastDecision: string | null;
  readonly production: number | null;
  /** Absent in states that were carried over from before there was one: nothing is held. */
  readonly schema?: SchemaState;
  /** Since when a due run waits for a quota of the tenant: the longest waiting goes first. */
  readonly waitingSinceMs?: number;
};

/** What is known of the structure of the table that a customization reads. */
export type SchemaState = {
  /** Nothing is trained while this waits for a person; serving goes on. */
  readonly held: HeldSchema | null;
  /** Version that was told last; 0: none. */
  readonly version: number;
  /** Changes that were told or decided, newest last: told twice, they count once. */
  readonly told: readonly string[];
};

export const schemaOf = (entry: Entry): SchemaState => entry.schema ?? { held: null, version: 0, told: [] };

/** What the shell must do. Each is done once; its result comes back as an event. */
export type Command =
  | { readonly type: 'loadCustomization'; readonly customizationId: string }
  | { readonly type: 'plan'; readonly customizationId: string; readonly dirtyBuckets: DirtyBuckets | null }
  | {
      readonly type: 'recordDecision';
      readonly customizationId: string;
      readonly decision: number;
      readonly kind: string;
      readonly reason: string;
      readonly cut: string;
    }
  | {
      readonly type: 'startRun';
      readonly customizationId: string;
      readonly requestKey: string;
      readonly trigger: RunTrigger;
      readonly reason: string | null;
      readonly force: boolean;
      readonly dirtyBuckets: DirtyBuckets | null;
      readonly businessModel: string;
    }
  | { readonly type: 'cancelRun'; readonly customizationId: string; readonly run: number; readonly reason: string }
  | { readonly type: 'checkRun'; readonly customizationId: string; readonly run: number };

/** A result of the pure part: the next state and what the shell must do for it. */
export type Step = { readonly state: TenantState; readonly commands: readonly Command[] };

/** How long a run may stay silent before the workflow asks: far above the time of a signal, far below a working day. */
export const runCheckMs = 600_000;

export const newTenantState = (tenantId: string): TenantState => ({ tenantId, watermarks: {}, customizations: {}, requests: 0 });

export const newEntry: Entry = {
  settings: null,
  load: 'needed',
  pending: null,
  batch: null,
  batchOptions: null,
  request: null,
  activity: null,
  hold: null,
  proposal: null,
  lastDataset: null,
  learned: true,
  trainedOptions: null,
  optionsChangedAtMs: null,
  recentRuns: [],
  failures: 0,
  lastFailure: null,
  lastDecision: null,
  production: null,
};

export const withEntry = (state: TenantState, customizationId: string, entry: Entry): TenantState => ({
  ...state,
  customizations: { ...state.customizations, [customizationId]: entry },
});

export function withoutEntry(state: TenantState, customizationId: string): TenantState {
  const { [customizationId]: _, ...customizations } = state.customizations;
  return { ...state, customizations };
}

/** Buckets that must be read for a batch: all of them where there is no dataset to reuse the others from. */
export const readSet = (entry: Entry, batch: PendingChanges | null): DirtyBuckets | null =>
  entry.lastDataset === null ? null : bucketsToRead(batch);

const settingsOf = ({ name, businessModel, state, policy, optionsDigest }: CustomizationSnapshot): Settings => ({
  name,
  businessModel,
  state,
  policy,
  optionsDigest,
});

/** Options that differ from those last trained are a reason to train, from the moment they were seen. */
function optionsChange(entry: Entry, optionsDigest: string, nowMs: number): number | null {
  const current = entry.activity?.kind === 'running' || entry.activity?.kind === 'starting' ? entry.batchOptions : entry.trainedOptions;
  if (current === null || current === optionsDigest) return null;
  // The quiet period starts again with every change of the options.
  return entry.settings?.optionsDigest === optionsDigest ? (entry.optionsChangedAtMs ?? nowMs) : nowMs;
}

/** New settings for an entry whose history the workflow knows. */
export function withSettings(entry: Entry, snapshot: CustomizationSnapshot, nowMs: number): Entry {
  const optionsChangedAtMs = optionsChange(entry, snapshot.optionsDigest, nowMs);
  const released = optionsChangedAtMs !== null && optionsChangedAtMs !== entry.optionsChangedAtMs;
  const changedPolicy = JSON.stringify(entry.settings?.policy) !== JSON.stringify(snapshot.policy);
  return {
    ...entry,
    load: entry.load === 'running' ? 'done' : entry.load,
    settings: settingsOf(snapshot),
    optionsChangedAtMs,
    hold: released ? null : entry.hold,
    proposal: released || changedPolicy ? null : entry.proposal,
    production: snapshot.production,
  };
}

/** An entry from the rows alone, for a workflow that starts with nothing: the whole table is compared before anything is believed. */
export function entryFromRows(snapshot: CustomizationSnapshot, nowMs: number): Entry {
  const { lastRun } = snapshot;
  const running = lastRun !== null && !endedRunStates.includes(lastRun.state);
  const trainedOptions = snapshot.trainedOptionsDigest ?? null;
  return {
    ...newEntry,
    load: 'done',
    settings: settingsOf(snapshot),
    pending: unknownChanges(nowMs),
    activity: running
      ? {
          kind: 'running',
          run: lastRun.number,
          trigger: 'recovery',
          sinceMs: nowMs,
          checkAtMs: nowMs + runCheckMs,
          checking: false,
          ...(lastRun.paused ? { paused: lastRun.paused } : {}),
        }
      : null,
    batchOptions: running ? snapshot.optionsDigest : null,
    lastDataset: snapshot.lastDataset,
    // What a person cancelled is not started again by a recovery.
    learned: lastRun?.state !== 'failed',
    trainedOptions,
    optionsChangedAtMs: !running && trainedOptions !== null && trainedOptions !== snapshot.optionsDigest ? nowMs : null,
    recentRuns: snapshot.recentRuns,
    production: snapshot.production,
    ...(snapshot.heldSchema
      ? { schema: { held: snapshot.heldSchema, version: snapshot.heldSchema.schemaVersion, told: [snapshot.heldSchema.changeId] } }
      : {}),
  };
}
