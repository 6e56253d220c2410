import type { TrainingOverrides } from '../activities/ports.ts';
import type { FailureClass, FailureType } from '../core/failure-types.ts';

/** What a run has tried so far. `attempt` is the fencing token: it rises with every job, whatever the job ended with. */
export type TrainingAttempts = {
  readonly attempt: number;
  readonly overrides: TrainingOverrides;
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
const maxHangs = 3;
/** Preemption is nobody's fault and costs no attempt; this only ends a cluster that never lets the job finish. */
const maxPreemptions = 100;

const classes: Readonly<Record<FailureType, FailureClass>> = {
  CustomizationGone: 'error',
  InvalidData: 'invalid_data',
  BadOptions: 'bad_options',
  SchemaHeld: 'schema_held',
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
export function nextAttempt(tried: TrainingAttempts, failure: FailureClass): TrainingAttempts | null {
  const next = { ...tried, attempt: tried.attempt + 1 };
  const { batchDivisor, learningRateDivisor } = tried.overrides;
  switch (failure) {
    case 'out_of_memory':
      return tried.outOfMemory < maxOutOfMemory
        ? { ...next, outOfMemory: tried.outOfMemory + 1, overrides: { batchDivisor: batchDivisor * 2, learningRateDivisor } }
        : null;
    case 'diverged':
      return learningRateDivisor === 1 ? { ...next, overrides: { batchDivisor, learningRateDivisor: 2 } } : null;
    case 'preempted':
      return tried.preemptions < maxPreemptions ? { ...next, preemptions: tried.preemptions + 1 } : null;
    case 'hang':
      return tried.hangs < maxHangs ? { ...next, hangs: tried.hangs + 1 } : null;
    default:
      return null;
  }
}
