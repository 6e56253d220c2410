import type { RunTrigger } from '../core/run.ts';
import { type Due, allowedAtMs, deletionDueMs, dueTime } from './due-time.ts';
import { quotaWait } from './tenant-quotas.ts';
import { type Command, type Entry, type Step, type TenantState, readSet, schemaOf, withEntry } from './tenant-state.ts';

/** What to do now, and when to look again if nothing happens before. */
export type Decision = Step & { readonly wakeAtMs: number | null };

/** When and why the entry's next run is due, or what it waits for. */
export function nextDue(entry: Entry, nowMs: number): Due & { readonly trigger: RunTrigger } {
  const { settings, request, hold, proposal, pending } = entry;
  const idle = (because: string): Due & { trigger: RunTrigger } => ({ atMs: null, because, trigger: 'changes' });
  if (!settings) return idle('its settings are being read');
  if (settings.state === 'paused') return idle('it is paused: resumeCustomization goes on');
  // Before a person's word too: over a structure that nobody approved there is nothing to train, forced or not.
  const { held } = schemaOf(entry);
  if (held) return idle(`${held.reason} (approveSchema)${request ? '; the run that was asked for waits for that' : ''}`);
  if (request) {
    // A person's word overrides quiet period, thresholds, window and mode; limits on cost only with force.
    const allowed = request.force ? { atMs: nowMs, because: null } : allowedAtMs(settings.policy, entry.recentRuns, nowMs);
    return { atMs: allowed.atMs, because: allowed.because ?? 'a person asked for it (retrain)', trigger: 'retrain' };
  }
  if (hold) return { atMs: hold.retryAtMs, because: hold.reason, trigger: entry.lastDataset ? 'recovery' : 'changes' };
  const { policy } = settings;
  const due = dueTime({
    policy,
    pending,
    optionsChangedAtMs: entry.optionsChangedAtMs,
    datasetRows: entry.lastDataset?.rows ?? null,
    recentRuns: entry.recentRuns,
    nowMs,
  });
  const deletion = deletionDueMs({ policy, pending, recentRuns: entry.recentRuns });
  const deletionFirst = deletion !== null && due.atMs === deletion;
  if (proposal && !deletionFirst)
    return {
      atMs: deletion,
      because: `mode is propose: a run would learn ${proposal.changedRows} changed rows; send retrain to start it`,
      trigger: 'deletion',
    };
  const missed = pending?.changedRows === null && entry.lastDataset !== null;
  const trigger = deletionFirst ? 'deletion' : entry.optionsChangedAtMs !== null ? 'configuration' : missed ? 'recovery' : 'changes';
  return { ...due, trigger };
}

/** Starts what is due. Commands that it returns are marked as begun in the state, so that asking twice starts nothing twice. */
export function decide(state: TenantState, nowMs: number): Decision {
  let next = state;
  let wakeAtMs: number | null = null;
  const commands = new Map<string, Command>();
  const dueNow: DueNow[] = [];
  const wake = (atMs: number | null): void => {
    if (atMs !== null) wakeAtMs = Math.min(wakeAtMs ?? Infinity, atMs);
  };
  for (const [customizationId, entry] of Object.entries(state.customizations)) {
    if (entry.load === 'needed') {
      commands.set(customizationId, { type: 'loadCustomization', customizationId });
      next = withEntry(next, customizationId, { ...entry, load: 'running' });
      // Its changed settings may say otherwise than the old ones: nothing is decided before they are here.
      continue;
    }
    if (entry.load === 'running') continue;
    if (entry.activity?.kind === 'running') {
      if (entry.activity.checking) continue;
      if (entry.activity.checkAtMs > nowMs) wake(entry.activity.checkAtMs);
      else {
        commands.set(customizationId, { type: 'checkRun', customizationId, run: entry.activity.run });
        next = withEntry(next, customizationId, { ...entry, activity: { ...entry.activity, checking: true } });
      }
      continue;
    }
    if (entry.activity) continue;
    const due = nextDue(entry, nowMs);
    if (due.atMs === null || due.atMs > nowMs) {
      wake(due.atMs);
      // What is not due waits for no quota; a later due time ends no waiting, the changes are the same.
      if (due.atMs === null && entry.waitingSinceMs !== undefined) next = withEntry(next, customizationId, withoutWaiting(entry));
      continue;
    }
    dueNow.push({
      customizationId,
      entry,
      due,
      urgent: isUrgent(entry, nowMs),
      sinceMs: entry.waitingSinceMs ?? Math.min(due.atMs, nowMs),
    });
  }
  for (const { customizationId, entry, due } of dueNow.sort(byTurn)) {
    const wait = quotaWait(next, nowMs);
    if (wait) {
      wake(wait.atMs);
      next = withEntry(next, customizationId, { ...entry, waitingSinceMs: entry.waitingSinceMs ?? nowMs });
      continue;
    }
    commands.set(customizationId, { type: 'plan', customizationId, dirtyBuckets: readSet(entry, entry.pending) });
    next = withEntry(next, customizationId, {
      ...withoutWaiting(entry),
      activity: { kind: 'planning', trigger: due.trigger, sinceMs: nowMs },
      batch: entry.pending,
      pending: null,
      hold: null,
      proposal: null,
    });
  }
  // Always in the order of the entries, whoever's turn it is: histories from before there were quotas have it.
  const inOrder = Object.keys(state.customizations).flatMap((customizationId) => commands.get(customizationId) ?? []);
  return { state: next, commands: inOrder, wakeAtMs };
}

type DueNow = {
  readonly customizationId: string;
  readonly entry: Entry;
  readonly due: ReturnType<typeof nextDue>;
  readonly urgent: boolean;
  readonly sinceMs: number;
};

/** A deletion whose deadline is near goes first, then the longest waiting. */
const byTurn = (a: DueNow, b: DueNow): number => Number(b.urgent) - Number(a.urgent) || a.sinceMs - b.sinceMs;

function isUrgent({ settings, pending, recentRuns }: Entry, nowMs: number): boolean {
  const deletionMs = settings && deletionDueMs({ policy: settings.policy, pending, recentRuns });
  return deletionMs !== null && deletionMs <= nowMs;
}

function withoutWaiting(entry: Entry): Entry {
  const { waitingSinceMs: _, ...rest } = entry;
  return rest;
}
