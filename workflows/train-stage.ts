import { ApplicationFailure, CancellationScope, isCancellation, patched, proxyActivities } from '@temporalio/workflow';
import type { ControlActivities, TrainingActivities, TrainingFailureDetail, TrainingRef } from '../activities/ports.ts';
import type { DatasetRef } from '../core/dataset.ts';
import type { RunKey } from '../core/ids.ts';
import { controlOptions, endsTraining, stopForCancelOptions, stopForPauseOptions, trainOptions } from './activity-options.ts';
import { rootOf } from './failure-of.ts';
import type { RunPauses } from './run-pause.ts';
import type { RunProgress } from './run-progress.ts';
import { type TrainingAttempts, failureClassOf, firstAttempt, nextAttempt, whatWasTried } from './training-remedies.ts';

/** What the attempts of a run have used, all together; null: no GPU. */
export type GpuSeconds = { total: number | null };

const add = (spent: GpuSeconds, seconds: number | undefined): void => {
  if (seconds !== undefined) spent.total = (spent.total ?? 0) + seconds;
};

/** Trains until it works or no remedy is left. A pause stops the job between, and costs nothing but its time. */
export async function trainStage(
  key: RunKey,
  dataset: DatasetRef,
  spent: GpuSeconds,
  progress: RunProgress,
  pauses: RunPauses,
): Promise<{ readonly training: TrainingRef; readonly attempt: number }> {
  const { raiseAttempt } = proxyActivities<ControlActivities>(controlOptions(key.tenantId));
  const { stopTraining } = proxyActivities<TrainingActivities>({ ...stopForPauseOptions(key.tenantId), summary: 'stop the job' });
  // Runs from before there were pauses do not wait for the end of an attempt that they cancel, in their histories.
  const waits = patched('cancelled-attempts-end-first');
  let tried: TrainingAttempts = firstAttempt;
  for (;;) {
    const { attempt, overrides } = tried;
    const { train } = proxyActivities<TrainingActivities>({
      ...trainOptions(key.tenantId),
      ...(waits ? { cancellationType: 'WAIT_CANCELLATION_COMPLETED' } : {}),
      summary: `attempt ${attempt}`,
    });
    let next: TrainingAttempts = { ...tried, attempt: attempt + 1 };
    let told = false;
    try {
      // Asked for between two attempts: the next one does not begin.
      if (!pauses.wanted()) {
        const training = await pauses.stoppable(() => train({ ...key, attempt, dataset, overrides }));
        add(spent, training.gpuSeconds);
        return { training, attempt };
      }
    } catch (error) {
      if (CancellationScope.current().consideredCancelled) {
        if (waits) add(spent, await usedWhenCancelled(key, attempt));
        throw error;
      }
      const { type, message, timedOut, detail } = rootOf(error);
      // A failure that Temporal would have answered with the same attempt again; the pause came before it could.
      const stopped = pauses.wanted() && (isCancellation(error) || !endsTraining(type));
      if (!stopped) {
        const of = detail as TrainingFailureDetail | undefined;
        add(spent, of?.gpuSeconds);
        told = true;
        const failure = failureClassOf(type, timedOut);
        const remedy = nextAttempt(tried, failure, of);
        if (!remedy) {
          const more = whatWasTried(tried, failure, of);
          throw more === null ? error : ApplicationFailure.nonRetryable(`${message}: ${more}`, type);
        }
        next = remedy;
        progress.note('train', `attempt ${attempt} ended with ${failure} (${message}); attempt ${next.attempt} follows`);
      }
    }
    if (pauses.wanted()) {
      // Also where the activity is gone without a word: whatever is left of its job ends before anybody is told that it has.
      const { gpuSeconds } = await stopTraining({ ...key, attempt });
      if (!told) add(spent, gpuSeconds);
      await pauses.pause((pause) => progress.pause(pause, spent.total));
      await raiseAttempt({ ...key, attempt: next.attempt, ...used(spent) });
      await progress.resume();
      pauses.resumed();
    } else {
      // Before the next job exists the last one's token is void: it cannot publish any more.
      await raiseAttempt({ ...key, attempt: next.attempt, ...used(spent) });
    }
    tried = next;
  }
}

const used = ({ total }: GpuSeconds): { readonly gpuSeconds?: number } => (total === null ? {} : { gpuSeconds: total });

/** What a cancelled attempt has used counts too; whoever cannot be asked now is not waited for. */
const usedWhenCancelled = (key: RunKey, attempt: number): Promise<number | undefined> =>
  CancellationScope.nonCancellable(async () => {
    const { stopTraining } = proxyActivities<TrainingActivities>({ ...stopForCancelOptions(key.tenantId), summary: 'stop the job' });
    return await stopTraining({ ...key, attempt }).then(
      ({ gpuSeconds }) => gpuSeconds,
      () => undefined,
    );
  });
