import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/workflow';

/** What an activity or the workflow itself failed with. */
export type RootFailure = {
  /** Null: no type of ours. */
  readonly type: string | null;
  readonly message: string;
  readonly timedOut: boolean;
  /** Name of the activity that failed; null: the workflow itself did. */
  readonly activity: string | null;
  /** What the failure carries first. */
  readonly detail: unknown;
};

export function rootOf(error: unknown): RootFailure {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const failure = cause instanceof ApplicationFailure ? cause : null;
  const type = failure?.type ?? null;
  const where = error instanceof ActivityFailure ? `${error.activityType}: ` : '';
  return {
    type,
    message: `${type === null ? where : ''}${cause instanceof Error ? cause.message : String(cause)}`,
    timedOut: cause instanceof TimeoutFailure,
    activity: error instanceof ActivityFailure ? error.activityType : null,
    detail: failure?.details?.[0],
  };
}
