import { nextCronTime, parseCron } from '../core/cron.ts';
import type { Policy } from '../core/policy.ts';
import type { PendingChanges } from './pending-changes.ts';

const dayMs = 86_400_000;
/** A window that opened this long ago still counts: workers restart, timers fire late. */
const windowGraceMs = 300_000;
/** Added to twice the last training's time: a deletion's run starts this much before its deadline, at most half of the deadline. */
const deletionLeadMs = 300_000;

/** A run that was started, and what it cost. */
export type RecentRun = { readonly startedAtMs: number; readonly trainingMs: number };

/** What a policy says about one customization at one moment. */
export type Due = {
  /** Null: nothing will happen without a new change or a person. */
  readonly atMs: number | null;
  /** The rule that the time or the waiting comes from, as a clause that follows «because». */
  readonly because: string;
};

export type DueInput = {
  readonly policy: Policy;
  readonly pending: PendingChanges | null;
  /** When the options began to differ from those that were last trained; null: they do not. */
  readonly optionsChangedAtMs: number | null;
  /** Rows of the last dataset; null: none was built. */
  readonly datasetRows: number | null;
  readonly recentRuns: readonly RecentRun[];
  readonly nowMs: number;
};

/** Why the changes are too few for a run; null if they are enough or their number is not known. */
export function tooFew(policy: Policy, changedRows: number | null, datasetRows: number | null): string | null {
  if (changedRows === null) return null;
  if (changedRows < policy.minChangedRows) return `${changedRows} of the ${policy.minChangedRows} changed rows of minChangedRows`;
  if (datasetRows !== null && datasetRows > 0 && changedRows / datasetRows < policy.minChangedFraction)
    return `${changedRows} changed rows are less than ${policy.minChangedFraction} of the dataset's ${datasetRows} (minChangedFraction)`;
  return null;
}

/** When the run that forgets the oldest deleted example must start; null if nothing was deleted. */
export function deletionDueMs({ policy, pending, recentRuns }: Pick<DueInput, 'policy' | 'pending' | 'recentRuns'>): number | null {
  if (pending?.firstDeletedMs === null || pending?.firstDeletedMs === undefined) return null;
  const lead = 2 * (recentRuns.at(-1)?.trainingMs ?? 0) + deletionLeadMs;
  return pending.firstDeletedMs + policy.deletionDeadlineMs - Math.min(lead, policy.deletionDeadlineMs / 2);
}

/** First moment at or after `fromMs` when neither maxRunsPerDay nor the budget forbids a run; null: never, the limit is zero. */
export function allowedAtMs(
  policy: Policy,
  recentRuns: readonly RecentRun[],
  fromMs: number,
): { readonly atMs: number | null; readonly because: string | null } {
  const { maxRunsPerDay, budgetTrainingSeconds } = policy;
  const runs = [...recentRuns].sort((a, b) => a.startedAtMs - b.startedAtMs);
  let atMs: number | null = fromMs;
  let because: string | null = null;
  const within = (): RecentRun[] => runs.filter(({ startedAtMs }) => atMs !== null && startedAtMs > atMs - dayMs);
  if (maxRunsPerDay !== null && within().length >= maxRunsPerDay) {
    const leaving = within().at(-maxRunsPerDay);
    atMs = maxRunsPerDay > 0 && leaving ? leaving.startedAtMs + dayMs : null;
    because = `maxRunsPerDay is ${maxRunsPerDay}`;
  }
  if (budgetTrainingSeconds !== null && atMs !== null) {
    const spent = (): number => within().reduce((sum, { trainingMs }) => sum + trainingMs, 0);
    while (atMs !== null && spent() >= budgetTrainingSeconds * 1_000) {
      atMs = budgetTrainingSeconds > 0 ? (within()[0]?.startedAtMs ?? atMs) + dayMs : null;
      because = `${budgetTrainingSeconds} training seconds in 24 hours are spent (budgetTrainingSeconds)`;
    }
  }
  return { atMs, because };
}

/** The moment in the window for something that is due from `dueMs`: now if the window opened just before, else when it opens next. */
export function inWindow(windowCron: string | null, dueMs: number, nowMs: number): number | null {
  const cron = windowCron === null ? null : parseCron(windowCron);
  if (!cron) return dueMs;
  const opened = nextCronTime(cron, Math.max(dueMs, nowMs - windowGraceMs));
  return opened !== null && opened <= nowMs ? opened : nextCronTime(cron, Math.max(dueMs, nowMs));
}

/** When changes, and nobody's word, make a run due. */
export function dueTime(input: DueInput): Due {
  const { policy, pending, optionsChangedAtMs, datasetRows, recentRuns, nowMs } = input;
  const deletion = deletionDueMs(input);
  const earliest = (due: Due): Due =>
    deletion !== null && (due.atMs === null || deletion < due.atMs)
      ? { atMs: deletion, because: 'a deleted example must leave the model (deletionDeadlineMs)' }
      : due;
  if (!pending && optionsChangedAtMs === null) return { atMs: null, because: 'nothing is pending' };
  if (policy.mode === 'manual') return earliest({ atMs: null, because: 'mode is manual: only retrain starts a run' });

  const few = pending && optionsChangedAtMs === null ? tooFew(policy, pending.changedRows, datasetRows) : null;
  if (few) return earliest({ atMs: null, because: few });
  const firstMs = Math.min(pending?.firstSeenMs ?? Infinity, optionsChangedAtMs ?? Infinity);
  const lastMs = Math.max(pending?.lastSeenMs ?? 0, optionsChangedAtMs ?? 0);
  const quietMs = lastMs + policy.quietPeriodMs;
  const waitedMs = firstMs + policy.maxWaitMs;
  let due: Due =
    quietMs <= waitedMs
      ? { atMs: quietMs, because: `nothing may change for ${seconds(policy.quietPeriodMs)} first (quietPeriodMs)` }
      : { atMs: waitedMs, because: `the oldest change may wait ${seconds(policy.maxWaitMs)} at most (maxWaitMs)` };
  const allowed = allowedAtMs(policy, recentRuns, Math.max(due.atMs ?? 0, nowMs));
  if (allowed.because !== null) due = { atMs: allowed.atMs, because: allowed.because };
  if (policy.windowCron !== null && due.atMs !== null) {
    const windowMs = inWindow(policy.windowCron, due.atMs, nowMs);
    if (windowMs !== due.atMs) due = { atMs: windowMs, because: `runs start only at «${policy.windowCron}» UTC (windowCron)` };
  }
  return earliest(due);
}

const seconds = (ms: number): string => (ms % 1_000 === 0 ? `${ms / 1_000} s` : `${ms} ms`);
