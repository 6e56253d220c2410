import type { DatasetPlan } from '../activities/ports.ts';
import type { ChangeDigest } from '../core/change-digest.ts';
import type { CustomizationSnapshot, CustomizationState } from '../core/customization.ts';
import { markerCustomizationId } from '../core/ids.ts';
import type { GpuUse, TenantQuotas } from '../core/quotas.ts';
import type { RunOutcome } from '../core/run.ts';
import type { SchemaChange, SchemaDecided } from '../core/schema-change.ts';
import type { ChangesMissed, PauseAnswered, RetrainRequest } from '../core/tenant-messages.ts';
import { mergePending, pendingFrom, unknownChanges } from './pending-changes.ts';
import { afterPlan, afterPlanFailed } from './plan-verdict.ts';
import { afterRun } from './run-outcome.ts';
import { putBack, schemaChanged, schemaDecided } from './schema-state.ts';
import {
  type Command,
  type Entry,
  type Step,
  type TenantState,
  entryFromRows,
  newEntry,
  runCheckMs,
  schemaOf,
  withEntry,
  withSettings,
  withoutEntry,
} from './tenant-state.ts';
import { withGpuUse } from './tenant-quotas.ts';
import { advanceWatermarks } from './watermarks.ts';

/** What happens to a tenant: signals, and results of commands. */
export type TenantEvent =
  | {
      readonly type: 'tenantLoaded';
      readonly customizations: readonly CustomizationSnapshot[];
      readonly quotas?: TenantQuotas;
      readonly gpuUse?: readonly GpuUse[];
    }
  | { readonly type: 'changesSensed'; readonly digest: ChangeDigest }
  | { readonly type: 'changesMissed'; readonly missed: ChangesMissed }
  | { readonly type: 'schemaChanged'; readonly change: SchemaChange }
  | { readonly type: 'schemaDecided'; readonly customizationId: string; readonly decided: SchemaDecided }
  | { readonly type: 'retrain'; readonly request: RetrainRequest }
  | { readonly type: 'runFinished'; readonly outcome: RunOutcome }
  | { readonly type: 'pauseAnswered'; readonly answer: PauseAnswered }
  | { readonly type: 'customizationLoaded'; readonly customizationId: string; readonly snapshot: CustomizationSnapshot | null }
  | { readonly type: 'stateSet'; readonly customizationId: string; readonly state: CustomizationState }
  | { readonly type: 'productionSet'; readonly customizationId: string; readonly production: number | null }
  | { readonly type: 'planned'; readonly customizationId: string; readonly plan: DatasetPlan }
  /** `held`: the comparison met a structure that nobody approved. */
  | { readonly type: 'planFailed'; readonly customizationId: string; readonly reason: string; readonly held?: SchemaChange }
  /** `adopted`: the run existed before, so that it may have ended already. */
  | { readonly type: 'runStarted'; readonly customizationId: string; readonly run: number; readonly adopted: boolean }
  /** The run's workflow ended without a word. */
  | { readonly type: 'runLost'; readonly customizationId: string; readonly run: number }
  | { readonly type: 'startFailed'; readonly customizationId: string; readonly reason: string }
  | { readonly type: 'runChecked'; readonly customizationId: string; readonly run: number; readonly outcome: RunOutcome | null };

export function applyEvent(state: TenantState, event: TenantEvent, nowMs: number): Step {
  const only = (next: TenantState): Step => ({ state: next, commands: [] });
  const change = (customizationId: string, to: (entry: Entry) => Entry): Step => {
    const entry = state.customizations[customizationId];
    return only(entry ? withEntry(state, customizationId, to(entry)) : state);
  };
  switch (event.type) {
    case 'tenantLoaded':
      return only(
        event.customizations.reduce(
          (next, snapshot) =>
            next.customizations[snapshot.customizationId]
              ? next
              : withEntry(next, snapshot.customizationId, entryFromRows(snapshot, nowMs)),
          { ...state, ...(event.quotas ? { quotas: event.quotas } : {}), ...(event.gpuUse ? { gpuUse: event.gpuUse } : {}) },
        ),
      );
    case 'changesSensed':
      return only(sensed(state, event.digest, nowMs));
    case 'changesMissed':
      return only(missed(state, event.missed, nowMs));
    case 'schemaChanged': {
      const { customizationId } = event.change;
      const entry = state.customizations[customizationId] ?? newEntry;
      return only(withEntry(state, customizationId, schemaChanged(entry, event.change, nowMs)));
    }
    case 'schemaDecided':
      return change(event.customizationId, (entry) => schemaDecided(entry, event.decided, nowMs));
    case 'retrain': {
      const { customizationId, reason = null, force = false, actor = null } = event.request;
      const entry = state.customizations[customizationId] ?? newEntry;
      // A person who asks twice before the run starts asks once; force is not taken back.
      const request = { reason: reason ?? entry.request?.reason ?? null, force: force || (entry.request?.force ?? false), actor };
      return only(withEntry(state, customizationId, { ...entry, request, hold: null, proposal: null }));
    }
    case 'runFinished':
      return afterRun(withGpuUse(state, event.outcome, nowMs), event.outcome, nowMs);
    case 'pauseAnswered': {
      const { customizationId, run, paused } = event.answer;
      // A refusal says the truth about the run as well.
      return change(customizationId, (entry) =>
        entry.activity?.kind === 'running' && entry.activity.run === run ? { ...entry, activity: { ...entry.activity, paused } } : entry,
      );
    }
    case 'customizationLoaded':
      return event.snapshot ? loaded(state, event.snapshot, nowMs) : forget(state, event.customizationId);
    case 'stateSet':
      return change(event.customizationId, (entry) =>
        entry.settings ? { ...entry, settings: { ...entry.settings, state: event.state } } : entry,
      );
    case 'productionSet':
      return change(event.customizationId, (entry) => ({ ...entry, production: event.production }));
    case 'planned': {
      const entry = state.customizations[event.customizationId];
      // Held while the comparison was on its way: its verdict is about rows that nobody may learn now.
      if (entry && schemaOf(entry).held) return change(event.customizationId, putBack);
      return afterPlan(state, event.customizationId, event.plan, nowMs);
    }
    case 'planFailed':
      if (event.held) {
        const { held } = event;
        return change(event.customizationId, (entry) => schemaChanged(putBack(entry), held, nowMs));
      }
      return afterPlanFailed(state, event.customizationId, event.reason, nowMs);
    case 'startFailed':
      return afterPlanFailed(state, event.customizationId, event.reason, nowMs);
    case 'runStarted': {
      const { customizationId, run } = event;
      const entry = state.customizations[customizationId];
      // Deleted while its run was being started.
      if (!entry) return { state, commands: [{ type: 'cancelRun', customizationId, run, reason: 'the customization was deleted' }] };
      if (entry.activity?.kind !== 'starting') return only(state);
      const { trigger } = entry.activity;
      return only(
        withEntry(state, customizationId, {
          ...entry,
          activity: {
            kind: 'running',
            run,
            trigger,
            sinceMs: nowMs,
            checkAtMs: event.adopted ? nowMs : nowMs + runCheckMs,
            checking: false,
          },
          recentRuns: [...entry.recentRuns, { startedAtMs: nowMs, trainingMs: 0 }],
        }),
      );
    }
    case 'runLost':
      return change(event.customizationId, (entry) =>
        entry.activity?.kind === 'running' && entry.activity.run === event.run
          ? { ...entry, activity: { ...entry.activity, checkAtMs: nowMs } }
          : entry,
      );
    default: {
      const { customizationId, run, outcome } = event;
      if (outcome) return afterRun(withGpuUse(state, outcome, nowMs), outcome, nowMs);
      return change(customizationId, (entry) =>
        entry.activity?.kind === 'running' && entry.activity.run === run
          ? { ...entry, activity: { ...entry.activity, checking: false, checkAtMs: nowMs + runCheckMs } }
          : entry,
      );
    }
  }
}

function sensed(state: TenantState, digest: ChangeDigest, nowMs: number): TenantState {
  const { marks, fresh } = advanceWatermarks(state.watermarks, digest.ranges);
  if (!fresh) return state;
  let next: TenantState = { ...state, watermarks: marks };
  for (const [customizationId, changes] of Object.entries(digest.customizations)) {
    // A marker moves the watermark and is no change of anything.
    if (customizationId === markerCustomizationId) continue;
    const entry = next.customizations[customizationId] ?? newEntry;
    const added = pendingFrom(changes, nowMs);
    next = withEntry(next, customizationId, {
      ...entry,
      pending: mergePending(entry.pending, added),
      load: changes.configured ? 'needed' : entry.load,
      hold: added ? null : entry.hold,
      proposal: added ? null : entry.proposal,
    });
  }
  return next;
}

/** Nobody knows what the gap hid: everything of the customizations is compared, deletions included. */
function missed(state: TenantState, { customizationIds, settingsIds = [] }: ChangesMissed, nowMs: number): TenantState {
  const reread = settingsIds.reduce(
    (next, customizationId) => withEntry(next, customizationId, { ...(next.customizations[customizationId] ?? newEntry), load: 'needed' }),
    state,
  );
  return (customizationIds ?? Object.keys(state.customizations)).reduce((next, customizationId) => {
    const entry = next.customizations[customizationId] ?? newEntry;
    const pending = mergePending(entry.pending, unknownChanges(nowMs));
    return withEntry(next, customizationId, { ...entry, pending, hold: null, proposal: null });
  }, reread);
}

function loaded(before: TenantState, snapshot: CustomizationSnapshot, nowMs: number): Step {
  // An operator's change of quotas touches every customization of the tenant, so that it is sensed like a change of theirs.
  const state = snapshot.tenantQuotas ? { ...before, quotas: snapshot.tenantQuotas } : before;
  const entry = state.customizations[snapshot.customizationId];
  // A customization that was deleted and forgotten meanwhile.
  if (!entry) return { state, commands: [] };
  const next = entry.settings
    ? withSettings(entry, snapshot, nowMs)
    : {
        ...entryFromRows(snapshot, nowMs),
        load: entry.load === 'running' ? ('done' as const) : entry.load,
        // The workflow has run since the customization was created, or has compared everything when it started: nothing was missed. One that
        // has a dataset already was gone for a while, with whatever was told of it.
        pending: snapshot.lastDataset ? mergePending(entry.pending, unknownChanges(nowMs)) : entry.pending,
        request: entry.request,
        ...(entry.schema ? { schema: entry.schema } : {}),
      };
  return { state: withEntry(state, snapshot.customizationId, next), commands: [] };
}

function forget(state: TenantState, customizationId: string): Step {
  const activity = state.customizations[customizationId]?.activity;
  const commands: Command[] =
    activity?.kind === 'running'
      ? [{ type: 'cancelRun', customizationId, run: activity.run, reason: 'the customization was deleted' }]
      : [];
  return { state: withoutEntry(state, customizationId), commands };
}
