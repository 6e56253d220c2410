import { jobName } from '../../activities/kubernetes/labels.ts';
import type { WatchedJobs } from '../../activities/kubernetes/watched-jobs.ts';
import type { TrainingExecutor } from '../../activities/training/executor.ts';
import { stagedAtMs } from '../../test/support/simulated-pods.ts';
import { installation } from './scene.ts';

/** What the training worker saw, milliseconds. */
export type Seen = {
  /** From when a pod ran, as it says itself, to the first progress that says so. */
  readonly running: number[];
  /** From when a pod ended to the end of the job as the run is told, the Job controller's own second or two included. */
  readonly ended: number[];
  followed: number;
  told: number;
};

export const nothingSeen = (): Seen => ({ running: [], ended: [], followed: 0, told: 0 });

/** The executor itself; only its answers are timed. */
export function measured(executor: TrainingExecutor, watched: WatchedJobs, seen: Seen): TrainingExecutor {
  return {
    ...executor,
    follow: async (spec, onProgress, signal) => {
      const name = jobName(installation, spec, spec.attempt);
      const stagedIn = (...phases: readonly string[]): number[] =>
        watched
          .pods(name)
          .filter(({ status }) => phases.includes(status?.phase ?? ''))
          .map(({ status }) => stagedAtMs(status?.message))
          .filter((at) => at !== null);
      let toldOfRunning = false;
      seen.followed += 1;
      const end = await executor.follow(
        spec,
        (progress) => {
          seen.told += 1;
          if (!toldOfRunning && progress.job?.state === 'running') {
            const [at] = stagedIn('Running');
            if (at !== undefined) seen.running.push(Date.now() - at);
            toldOfRunning = true;
          }
          onProgress(progress);
        },
        signal,
      );
      const at = stagedIn('Succeeded', 'Failed');
      if (at.length > 0) seen.ended.push(Date.now() - Math.max(...at));
      return end;
    },
  };
}
