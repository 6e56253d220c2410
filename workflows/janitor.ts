import { proxyActivities } from '@temporalio/workflow';
import type { SweptJobs, TrainingActivities } from '../activities/ports.ts';
import { sweepOptions } from './activity-options.ts';

/** Removes training jobs that no run needs any more, on a schedule: what a run that was terminated, or a cluster that was away, has left. */
export async function janitor(): Promise<SweptJobs> {
  const { sweepJobs } = proxyActivities<TrainingActivities>({ ...sweepOptions(), summary: 'remove jobs without a run' });
  return await sweepJobs({});
}
