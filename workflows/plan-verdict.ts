import type { DatasetPlan } from '../activities/ports.ts';
import { tooFew } from './due-time.ts';
import { type PendingChanges, countEvents, mergePending, withoutCut } from './pending-changes.ts';
import { type Command, type Entry, type Hold, type Step, type TenantState, readSet, withEntry } from './tenant-state.ts';
import { clockTime, counted } from './wording.ts';

/** Waits between retries after infrastructure failed: doubled from the first to the longest. */
const firstRetryMs = 30_000;
const longestRetryMs = 3_600_000;
export const retryDelayMs = (failures: number): number => Math.min(longestRetryMs, firstRetryMs * 2 ** Math.max(0, failures - 1));

/** The comparison of the table with the last dataset is back: start a run, or say why not. */
export function afterPlan(state: TenantState, customizationId: string, plan: DatasetPlan, nowMs: number): Step {
  const entry = state.customizations[customizationId];
  if (!entry?.settings || entry.activity?.kind !== 'planning') return { state, commands: [] };
  const { activity, batch, settings, request } = entry;
  const { trigger } = activity;
  const byPerson = trigger === 'retrain';
  const base: Entry = { ...entry, activity: null, batch: null, request: byPerson ? null : request, lastDecision: null };
  const decide = (kind: string, reason: string, next: Entry): Step => {
    const decision = state.requests + 1;
    const command: Command = { type: 'recordDecision', customizationId, decision, kind, reason, cut: plan.cut };
    return { state: withEntry({ ...state, requests: decision }, customizationId, { ...next, lastDecision: reason }), commands: [command] };
  };
  // The comparison knows exactly what the events only suggested.
  const exact: PendingChanges | null = batch && { ...batch, changedRows: plan.changedRows };

  if (!plan.ready) {
    const reason = `no run: not enough data: ${plan.reasons.join('; ') || 'the business model names no reason'}`;
    const hold: Hold = { kind: 'not_ready', reason, retryAtMs: null };
    return decide('not_ready', reason, { ...base, pending: mergePending(exact, entry.pending), hold: entry.pending ? null : hold });
  }
  const forced = byPerson && request?.force === true;
  const optionsDiffer = entry.trainedOptions !== null && entry.trainedOptions !== settings.optionsDigest;
  if (!plan.netChange && !optionsDiffer && entry.learned && !forced) {
    const pending = withoutCut(entry.pending, plan.cut, readSet(entry, batch));
    return decide('no_net_change', noNetChange(entry, batch, byPerson), { ...base, pending, optionsChangedAtMs: null });
  }
  const few =
    trigger === 'changes' || trigger === 'recovery' ? tooFew(settings.policy, plan.changedRows, entry.lastDataset?.rows ?? null) : null;
  // Rows of a failed run are part of the last dataset and therefore no longer counted as changed.
  if (few && !optionsDiffer && entry.learned)
    return decide('below_threshold', `no run: ${few}`, { ...base, pending: mergePending(exact, entry.pending) });
  if (settings.policy.mode === 'propose' && trigger !== 'retrain' && trigger !== 'deletion') {
    const reason = `mode is propose: a run would learn ${counted(plan.changedRows, 'changed row')}; send retrain to start it`;
    const proposal = entry.pending ? null : { changedRows: plan.changedRows };
    return decide('proposed', reason, {
      ...base,
      pending: mergePending(exact, entry.pending),
      proposal,
      optionsChangedAtMs: entry.optionsChangedAtMs,
    });
  }
  const number = state.requests + 1;
  const reason = runReason(entry, plan);
  return {
    state: withEntry({ ...state, requests: number }, customizationId, {
      ...base,
      batch: exact,
      batchOptions: settings.optionsDigest,
      optionsChangedAtMs: null,
      activity: { kind: 'starting', trigger, reason, requestKey: String(number), force: forced, sinceMs: nowMs },
    }),
    commands: [
      {
        type: 'startRun',
        customizationId,
        requestKey: String(number),
        trigger,
        reason,
        force: forced,
        dirtyBuckets: readSet(entry, batch),
        businessModel: settings.businessModel,
      },
    ],
  };
}

/** The comparison or the start could not be done at all: its changes stay, and it is tried again later. */
export function afterPlanFailed(state: TenantState, customizationId: string, reason: string, nowMs: number): Step {
  const entry = state.customizations[customizationId];
  if (!entry || (entry.activity?.kind !== 'planning' && entry.activity?.kind !== 'starting')) return { state, commands: [] };
  const failures = entry.failures + 1;
  const { activity } = entry;
  const next: Entry = {
    ...entry,
    activity: null,
    // The wish was taken when the start was decided; nothing came of it.
    request:
      activity.kind === 'starting' && activity.trigger === 'retrain'
        ? (entry.request ?? { reason: activity.reason, force: activity.force, actor: null })
        : entry.request,
    batch: null,
    batchOptions: null,
    pending: mergePending(entry.batch, entry.pending),
    failures,
    hold: { kind: 'failed', reason, retryAtMs: nowMs + retryDelayMs(failures) },
  };
  return { state: withEntry(state, customizationId, next), commands: [] };
}

function noNetChange(entry: Entry, batch: PendingChanges | null, byPerson: boolean): string {
  const dataset = entry.lastDataset ? `dataset ${entry.lastDataset.number}` : 'an empty dataset';
  const events = batch ? countEvents(batch) : 0;
  const force = byPerson ? '; retrain with force to train anyway' : '';
  if (batch && events > 0)
    return `no run: ${counted(events, 'change')} since ${clockTime(batch.firstSeenMs)} left the rows equal to ${dataset}${force}`;
  return `no run: the rows and options are equal to ${dataset}${force}`;
}

function runReason({ activity, request, batch, optionsChangedAtMs }: Entry, plan: DatasetPlan): string {
  const rows = counted(plan.changedRows, 'changed row');
  switch (activity?.kind === 'planning' ? activity.trigger : 'changes') {
    case 'retrain':
      return request?.reason ?? `asked for${request?.actor ? ` by ${request.actor}` : ''}, ${rows}`;
    case 'deletion':
      return `${rows}; a deleted example must leave the model`;
    case 'configuration':
      return `the options changed${optionsChangedAtMs === null ? '' : ` at ${clockTime(optionsChangedAtMs)}`}, ${rows}`;
    case 'recovery':
      return `${rows} found by a full comparison`;
    default:
      return batch ? `${rows} since ${clockTime(batch.firstSeenMs)}` : rows;
  }
}
