/** When changes become a training run. Every knob has a test that fails if it is ignored. */
export type Policy = {
  /** auto: runs start by themselves; propose: a due run waits for `retrain`; manual: only `retrain` starts one. */
  readonly mode: 'auto' | 'propose' | 'manual';
  /** A run is due when nothing has changed for this long ... */
  readonly quietPeriodMs: number;
  /** ... or when the oldest pending change is this old. */
  readonly maxWaitMs: number;
  readonly minChangedRows: number;
  /** Changed rows as a fraction of the rows of the last dataset, 0..1. */
  readonly minChangedFraction: number;
  /** Five-field cron expression in UTC: due runs start only at these times. */
  readonly windowCron: string | null;
  readonly maxRunsPerDay: number | null;
  /** Training seconds that may be spent in 24 hours. */
  readonly budgetTrainingSeconds: number | null;
  /** A deleted example must be out of the production model within this time, whatever the other knobs say. */
  readonly deletionDeadlineMs: number;
  /** Objective: so long after its commit a change is served, for 99 of 100 commits. Null: none. It starts nothing by itself; it is watched. */
  readonly servingSloMs: number | null;
};

export const defaultPolicy: Policy = {
  mode: 'auto',
  quietPeriodMs: 30_000,
  maxWaitMs: 300_000,
  minChangedRows: 1,
  minChangedFraction: 0,
  windowCron: null,
  maxRunsPerDay: null,
  budgetTrainingSeconds: null,
  deletionDeadlineMs: 86_400_000,
  servingSloMs: null,
};
