import { CancellationScope, condition, getExternalWorkflowHandle, setHandler } from '@temporalio/workflow';
import { type RunKey, tenantWorkflowId } from '../core/ids.ts';
import type { RunPause } from '../core/run.ts';
import { pauseAnswered, pauseAsked, resumeAsked } from './messages.ts';
import {
  type PauseAnswer,
  type PauseState,
  type PauseStep,
  type RunStep,
  newPauseState,
  pauseAskedFor,
  pauseDone,
  resumeAskedFor,
  resumeDone,
  runEnded,
  stepEntered,
} from './run-pause-state.ts';

/** A run's ear for pause and resume: what is asked comes by signals of its tenant, which hears the answers. */
export type RunPauses = {
  readonly enter: (step: RunStep) => void;
  /** Does the work; a pause cancels it. */
  readonly stoppable: <T>(work: () => Promise<T>) => Promise<T>;
  readonly wanted: () => boolean;
  /** The job is stopped: puts the pause on record, says so, and comes back when somebody resumes. */
  readonly pause: (record: (pause: RunPause) => Promise<void>) => Promise<void>;
  /** The next attempt is about to start. */
  readonly resumed: () => void;
  /** Answers what is still open, and waits until every answer is sent. */
  readonly end: (how: string) => Promise<void>;
};

export function runPauses({ tenantId, customizationId, run }: RunKey): RunPauses {
  let state: PauseState = newPauseState(run);
  let working: CancellationScope | null = null;
  let telling: Promise<unknown> = Promise.resolve();

  const tell = (answer: PauseAnswer): void => {
    const told = CancellationScope.nonCancellable(() =>
      getExternalWorkflowHandle(tenantWorkflowId(tenantId)).signal(pauseAnswered, { customizationId, run, ...answer }),
    );
    // A tenant workflow that is gone reads the run's row when it starts again.
    telling = Promise.all([telling, told.catch(() => undefined)]);
  };
  const take = ({ state: next, answer }: PauseStep): void => {
    state = next;
    if (answer) tell(answer);
    if (state.pausing) working?.cancel();
  };
  setHandler(pauseAsked, (asked) => take(pauseAskedFor(state, asked)));
  setHandler(resumeAsked, (asked) => take(resumeAskedFor(state, asked)));

  return {
    enter: (step) => take(stepEntered(state, step)),
    wanted: () => state.pausing !== null,
    async stoppable(work) {
      working = new CancellationScope();
      try {
        return await working.run(work);
      } finally {
        working = null;
      }
    },
    async pause(record) {
      if (!state.pausing) return;
      const { by, reason } = state.pausing;
      const pause: RunPause = { sinceMs: Date.now(), by, reason };
      await record(pause);
      take(pauseDone(state, pause));
      await condition(() => state.resuming !== null);
    },
    resumed: () => take(resumeDone(state)),
    async end(how) {
      take(runEnded(state, how));
      await telling;
    },
  };
}
