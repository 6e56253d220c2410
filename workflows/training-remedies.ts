import type { TrainingFailureDetail, TrainingOverrides } from '../activities/ports.ts';
import type { FailureClass, FailureType } from '../core/failure-types.ts';

/** What a run has tried so far. `attempt` is the fencing token: it rises with every job, whatever the job ended with. */
export type TrainingAttempts = {
  readonly attempt: number;
  readonly overrides: TrainingOverrides;
  /** With the batch halved again and again on the present resource tier. */
  readonly outOfMemory: number;
  readonly hangs: number;
  readonly preemptions: number;
};

export const firstAttempt: TrainingAttempts = {
  attempt: 1,
  overrides: { batchDivisor: 1, learningRateDivisor: 1 },
  outOfMemory: 0,
  hangs: 0,
  preemptions: 0,
};

/** An eighth of the batch that does not fit either is a matter of resources, not of the batch. */
const maxOutOfMemory = 3;
/** Two tiers above the one that was asked for: what does not fit there is not meant to be trained here. */
const maxTierRaises = 2;
const maxHangs = 3;
/** Preemption is nobody's fault and costs no attempt; this only ends a cluster that never lets the job finish. */
const maxPreemptions = 100;

const classes: Readonly<Record<FailureType, FailureClass>> = {
  CustomizationGone: 'error',
  InvalidData: 'invalid_data',
  BadOptions: 'bad_options',
  SchemaHeld: 'schema_held',
  BudgetSpent: 'budget',
  StorageQuota: 'storage_quota',
  OutOfMemory: 'out_of_memory',
  Diverged: 'diverged',
  TrainingFailed: 'error',
  Preempted: 'preempted',
  Hang: 'hang',
  Unavailable: 'storage',
  Fenced: 'error',
  Corrupt: 'storage',
};

/** The class that people see for a failure of this type; timeouts have no type of ours. */
export function failureClassOf(type: string | null, timedOut: boolean): FailureClass {
  if (type !== null && type in classes) return classes[type as FailureType];
  return timedOut ? 'storage' : 'error';
}

/** The next attempt after a failed one; null: no attempt helps, or none is left. */
export function nextAttempt(tried: TrainingAttempts, failure: FailureClass, detail: TrainingFailureDetail = {}): TrainingAttempts | null {
  const next = { ...tried, attempt: tried.attempt + 1 };
  const { batchDivisor, learningRateDivisor, tierRaises = 0 } = tried.overrides;
  switch (failure) {
    case 'out_of_memory':
      if (tried.outOfMemory < maxOutOfMemory)
        return { ...next, outOfMemory: tried.outOfMemory + 1, overrides: { ...tried.overrides, batchDivisor: batchDivisor * 2 } };
      // On a larger tier the whole batch may fit again.
      return detail.largerTier === true && tierRaises < maxTierRaises
        ? { ...next, outOfMemory: 0, overrides: { ...tried.overrides, batchDivisor: 1, tierRaises: tierRaises + 1 } }
        : null;
    case 'diverged':
      return learningRateDivisor === 1 ? { ...next, overrides: { ...tried.overrides, learningRateDivisor: 2 } } : null;
    case 'preempted':
      return tried.preemptions < maxPreemptions ? { ...next, preemptions: tried.preemptions + 1 } : null;
    case 'hang':
      return tried.hangs < maxHangs ? { ...next, hangs: tried.hangs + 1 } : null;
    default:
      return null;
  }
}

/** For the failure that no remedy is left for: what was tried; null: nothing that its own message does not say. */
export function whatWasTried(tried: TrainingAttempts, failure: FailureClass, detail: TrainingFailureDetail = {}): string | null {
  if (failure !== 'out_of_memory') return null;
  const { batchDivisor, tierRaises = 0 } = tried.overrides;
  const batches = `the whole batch and ${batchDivisor === 2 ? 'its half' : `parts of it down to 1/${batchDivisor}`} were tried`;
  const tiers = tierRaises === 0 ? '' : `, on ${tierRaises === 1 ? 'a larger resource tier' : `${tierRaises} larger resource tiers`} too`;
  const left =
    detail.largerTier === undefined
      ? ''
      : detail.largerTier
        ? '; a still larger tier is not tried by itself'
        : '; there is no larger resource tier';
  return `${batches}${tiers}${left}`;
}
