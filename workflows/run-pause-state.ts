import { type RunPause, type StageName } from '../core/run.ts';
import type { PauseAnswered, PauseAsked } from '../core/tenant-messages.ts';
import { clockTime } from './wording.ts';

/** Where a run is, as a person is told it. `promote` is the end of the stage publish; null: between two steps. */
export type RunStep = StageName | 'promote' | null;

/** What a run knows of pauses: asked for, being done, done. */
export type PauseState = {
  readonly run: number;
  readonly step: RunStep;
  /** Asked for; the job is being stopped. */
  readonly pausing: PauseAsked | null;
  readonly paused: RunPause | null;
  /** Asked for; the next attempt is about to start. */
  readonly resuming: PauseAsked | null;
  /** The last answer: a request that is told twice gets it again. */
  readonly last: PauseAnswer | null;
};

export type PauseAnswer = Omit<PauseAnswered, 'customizationId' | 'run'>;
export type PauseStep = { readonly state: PauseState; readonly answer: PauseAnswer | null };

export const newPauseState = (run: number): PauseState => ({ run, step: null, pausing: null, paused: null, resuming: null, last: null });

const silent = (state: PauseState): PauseStep => ({ state, answer: null });

function answered(state: PauseState, { request }: PauseAsked, message: string | null): PauseStep {
  const answer: PauseAnswer = { request, accepted: message === null, message, paused: state.paused };
  return { state: { ...state, last: answer }, answer };
}

/** A request that was told before: its answer again, or nothing where it is being carried out. */
function again(state: PauseState, { request }: PauseAsked): PauseStep | null {
  if (state.pausing?.request === request || state.resuming?.request === request) return silent(state);
  return state.last?.request === request ? { state, answer: state.last } : null;
}

export const pauseAskedFor = (state: PauseState, asked: PauseAsked): PauseStep => {
  const refused = (why: string): PauseStep => answered(state, asked, `run ${state.run} ${why}`);
  const repeated = again(state, asked);
  if (repeated) return repeated;
  if (state.paused) return refused(`is paused already, since ${clockTime(state.paused.sinceMs)}, by ${state.paused.by}`);
  if (state.pausing) return refused('is being paused already: its job is being stopped');
  if (state.step === null) return refused('is between two steps, and only its step train can be paused: ask again in a moment');
  if (state.step !== 'train') return refused(`is in its step ${state.step}, which cannot be paused: only train can`);
  return silent({ ...state, pausing: asked });
};

export const resumeAskedFor = (state: PauseState, asked: PauseAsked): PauseStep => {
  const refused = (why: string): PauseStep => answered(state, asked, `run ${state.run} ${why}`);
  const repeated = again(state, asked);
  if (repeated) return repeated;
  if (state.pausing) return refused('is still being paused: its job is being stopped, ask again in a moment');
  if (!state.paused) return refused('is not paused');
  if (state.resuming) return refused('is being resumed already');
  return silent({ ...state, resuming: asked });
};

/** The run goes to another step. A pause that is not done by then has come too late: what the training came to counts. */
export function stepEntered(state: PauseState, step: RunStep): PauseStep {
  const next = { ...state, step };
  if (!state.pausing || step === 'train') return silent(next);
  return answered(
    { ...next, pausing: null },
    state.pausing,
    `run ${state.run} had done its training before it could be paused: it goes on`,
  );
}

/** The job is stopped and the pause on record. */
export const pauseDone = (state: PauseState, paused: RunPause): PauseStep =>
  state.pausing ? answered({ ...state, pausing: null, paused }, state.pausing, null) : silent(state);

/** The next attempt has its token. */
export const resumeDone = (state: PauseState): PauseStep =>
  state.resuming ? answered({ ...state, paused: null, resuming: null }, state.resuming, null) : silent(state);

/** The run ends, whatever was asked of it. */
export function runEnded(state: PauseState, how: string): PauseStep {
  const asked = state.pausing ?? state.resuming;
  const next: PauseState = { ...state, step: null, pausing: null, paused: null, resuming: null };
  return asked ? answered(next, asked, `run ${state.run} has ended: ${how}`) : silent(next);
}
