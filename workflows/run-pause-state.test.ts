import { describe, expect, it } from 'vitest';
import type { PauseAsked } from '../core/tenant-messages.ts';
import {
  type PauseState,
  newPauseState,
  pauseAskedFor,
  pauseDone,
  resumeAskedFor,
  resumeDone,
  runEnded,
  stepEntered,
} from './run-pause-state.ts';

const noon = Date.parse('2026-03-02T12:00:00Z');
const asked = (request: string): PauseAsked => ({ request, by: 'ann', reason: null });
const pause = { sinceMs: noon, by: 'ann', reason: null };
const training: PauseState = { ...newPauseState(4), step: 'train' };
const pausing = pauseAskedFor(training, asked('p1')).state;
const paused = pauseDone(pausing, pause).state;
const resuming = resumeAskedFor(paused, asked('r1')).state;

describe('a pause', () => {
  it('is answered when the job is stopped, and a resume when the next attempt is about to start', () => {
    expect(pauseAskedFor(training, asked('p1'))).toMatchObject({ answer: null, state: { pausing: { request: 'p1' }, paused: null } });
    expect(pauseDone(pausing, pause)).toMatchObject({
      answer: { request: 'p1', accepted: true, message: null, paused: pause },
      state: { pausing: null, paused: pause },
    });
    expect(resumeAskedFor(paused, asked('r1'))).toMatchObject({ answer: null, state: { resuming: { request: 'r1' }, paused: pause } });
    expect(resumeDone(resuming)).toMatchObject({
      answer: { request: 'r1', accepted: true, paused: null },
      state: { paused: null, resuming: null, step: 'train' },
    });
  });

  it('of any step but train is refused, and the step named', () => {
    for (const step of ['dataset', 'gate', 'shard', 'publish', 'promote'] as const)
      expect(pauseAskedFor({ ...training, step }, asked('p1')).answer).toEqual({
        request: 'p1',
        accepted: false,
        message: `run 4 is in its step ${step}, which cannot be paused: only train can`,
        paused: null,
      });
    expect(pauseAskedFor({ ...training, step: null }, asked('p1')).answer?.message).toContain('between two steps');
  });

  it('of a run that is paused, is being paused, or was never paused is refused', () => {
    expect(pauseAskedFor(paused, asked('p2')).answer).toMatchObject({
      accepted: false,
      message: 'run 4 is paused already, since 12:00 UTC, by ann',
      paused: pause,
    });
    expect(pauseAskedFor(pausing, asked('p2')).answer?.message).toBe('run 4 is being paused already: its job is being stopped');
    expect(resumeAskedFor(training, asked('r1')).answer).toMatchObject({ accepted: false, message: 'run 4 is not paused' });
    expect(resumeAskedFor(pausing, asked('r1')).answer?.message).toContain('still being paused');
    expect(resumeAskedFor(resuming, asked('r2')).answer?.message).toBe('run 4 is being resumed already');
  });

  it('that is told twice is done once, and gets the same answer again', () => {
    expect(pauseAskedFor(pausing, asked('p1'))).toEqual({ state: pausing, answer: null });
    expect(pauseAskedFor(paused, asked('p1'))).toEqual({ state: paused, answer: pauseDone(pausing, pause).answer });
    expect(resumeAskedFor(resuming, asked('r1'))).toEqual({ state: resuming, answer: null });
  });

  it('that comes with the end of the training is too late, and the run goes on', () => {
    const late = stepEntered(pausing, null);
    expect(late.answer).toMatchObject({ request: 'p1', accepted: false, message: expect.stringContaining('before it could be paused') });
    expect(late.state).toMatchObject({ step: null, pausing: null, paused: null });
    expect(stepEntered(training, null).answer).toBeNull();
  });

  it('or resume that is open when the run ends is answered with the end', () => {
    expect(runEnded(pausing, 'failed: row x').answer).toMatchObject({ request: 'p1', message: 'run 4 has ended: failed: row x' });
    expect(runEnded(resuming, 'cancelled').answer).toMatchObject({ request: 'r1', accepted: false, paused: null });
    expect(runEnded(paused, 'cancelled')).toMatchObject({ answer: null, state: { paused: null } });
  });
});
