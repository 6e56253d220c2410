import type { RunOutcome } from '../core/run.ts';
import { mergePending, withoutCut } from './pending-changes.ts';
import { retryDelayMs } from './plan-verdict.ts';
import { type Entry, type Hold, type Step, type TenantState, readSet, withEntry } from './tenant-state.ts';

/**
 * A run has ended. Told twice (by the signal, by the child, by the watchdog), it counts once.
 * What its dataset contains is no longer pending; what a failed or cancelled run did not learn waits for a change, a person or a retry.
 */
export function afterRun(state: TenantState, outcome: RunOutcome, nowMs: number): Step {
  const { customizationId } = outcome;
  const entry = state.customizations[customizationId];
  if (!entry || entry.activity?.kind !== 'running' || entry.activity.run !== outcome.run) return { state, commands: [] };
  const learned =
    outcome.state === 'succeeded' || outcome.state === 'rejected' || (outcome.state === 'skipped' && outcome.dataset !== null);
  const { dataset } = outcome;
  const pending = dataset ? withoutCut(entry.pending, dataset.cut, readSet(entry, entry.batch)) : entry.pending;
  const trainedOptions = learned ? entry.batchOptions : entry.trainedOptions;
  const failures = outcome.state === 'failed' ? entry.failures + 1 : learned ? 0 : entry.failures;
  const next: Entry = {
    ...entry,
    activity: null,
    batch: null,
    batchOptions: null,
    // Without a training the changes stay, with their dirty buckets: the next run learns them.
    pending: learned ? pending : mergePending(entry.batch, pending),
    lastDataset: dataset ?? entry.lastDataset,
    // A run that was stopped may have registered a dataset without telling: whether it must be learned, claimTraining knows.
    learned,
    trainedOptions,
    optionsChangedAtMs: optionsStillDiffer(entry, trainedOptions, learned) ? (entry.optionsChangedAtMs ?? nowMs) : null,
    recentRuns: withCost(entry, outcome, nowMs),
    failures,
    hold: holdAfter(outcome, failures, pending !== null, nowMs),
    lastFailure:
      outcome.state === 'failed'
        ? { run: outcome.run, failureClass: outcome.failureClass, reason: outcome.reason }
        : learned
          ? null
          : entry.lastFailure,
    lastDecision:
      outcome.state === 'succeeded' ? null : `run ${outcome.run} was ${outcome.state}${outcome.reason ? `: ${outcome.reason}` : ''}`,
    production: outcome.state === 'succeeded' && outcome.version !== null ? outcome.version : entry.production,
  };
  return { state: withEntry(state, customizationId, next), commands: [] };
}

/** Options that were changed during the run are the next run's reason; those of a failed run are not: it is held. */
const optionsStillDiffer = (entry: Entry, trainedOptions: string | null, learned: boolean): boolean =>
  trainedOptions !== null &&
  entry.settings !== null &&
  trainedOptions !== entry.settings.optionsDigest &&
  (learned || entry.optionsChangedAtMs !== null);

/** `changed`: rows have changed since the run began. They may be what mends it, and are the change that a hold without a time waits for. */
function holdAfter(outcome: RunOutcome, failures: number, changed: boolean, nowMs: number): Hold | null {
  const because = outcome.reason ? `: ${outcome.reason}` : '';
  switch (outcome.state) {
    case 'failed': {
      // A store or a network that was away says nothing about the data: the platform tries again by itself.
      // A structure that was not approved is met again by the next comparison, which holds everything until a person has answered.
      const passing = outcome.failureClass === 'storage' || outcome.failureClass === 'schema_held';
      if (!passing && changed) return null;
      const retryAtMs = passing ? nowMs + (outcome.failureClass === 'storage' ? retryDelayMs(failures) : 0) : null;
      return { kind: 'failed', reason: `run ${outcome.run} failed (${outcome.failureClass ?? 'lost'})${because}`, retryAtMs };
    }
    case 'cancelled':
      // No person asked for it: what has changed meanwhile starts the next run as soon as the tenant's GPU seconds allow one.
      if (outcome.failureClass === 'budget' && changed) return null;
      return { kind: 'cancelled', reason: `run ${outcome.run} was cancelled${because}`, retryAtMs: null };
    case 'skipped':
      return outcome.dataset === null && !changed
        ? { kind: 'not_ready', reason: `run ${outcome.run} was skipped${because}`, retryAtMs: null }
        : null;
    default:
      return null;
  }
}

const dayMs = 86_400_000;

/** The training's time goes to the run's own entry: the last one, since runs of a customization do not overlap. */
function withCost(entry: Entry, outcome: RunOutcome, nowMs: number): Entry['recentRuns'] {
  const last = entry.recentRuns.at(-1);
  const runs = last ? [...entry.recentRuns.slice(0, -1), { ...last, trainingMs: Math.max(last.trainingMs, outcome.trainingMs) }] : [];
  return runs.filter(({ startedAtMs }) => startedAtMs > nowMs - dayMs);
}
