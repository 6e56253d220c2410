import { describe, expect, it } from 'vitest';
import type { TrainingFailureDetail } from '../activities/ports.ts';
import { type TrainingAttempts, failureClassOf, firstAttempt, nextAttempt, whatWasTried } from './training-remedies.ts';

/** Attempts until none is left, each ended by the same failure. */
function allAttempts(detail: TrainingFailureDetail, first = firstAttempt): TrainingAttempts[] {
  const attempts = [first];
  for (;;) {
    const next = nextAttempt(attempts.at(-1) ?? first, 'out_of_memory', detail);
    if (!next) return attempts;
    attempts.push(next);
  }
}
const tried = (attempts: readonly TrainingAttempts[]) =>
  attempts.map(({ overrides: { batchDivisor, tierRaises = 0 } }) => [tierRaises, batchDivisor]);

describe('a training out of memory', () => {
  it('halves its batch three times where there is no larger tier', () => {
    const halved = [
      [0, 1],
      [0, 2],
      [0, 4],
      [0, 8],
    ];
    expect(tried(allAttempts({}))).toEqual(halved);
    expect(tried(allAttempts({ largerTier: false }))).toEqual(halved);
  });

  it('then takes a larger tier with the whole batch, twice at most', () => {
    const attempts = allAttempts({ largerTier: true });
    expect(tried(attempts)).toEqual([0, 1, 2].flatMap((raises) => [1, 2, 4, 8].map((divisor) => [raises, divisor])));
    expect(attempts.map(({ attempt }) => attempt)).toEqual(attempts.map((_, i) => i + 1));
  });

  it('keeps the halved learning rate on its way', () => {
    const diverged = nextAttempt(firstAttempt, 'diverged');
    if (!diverged) throw new Error('no remedy');
    expect(allAttempts({ largerTier: true }, diverged).every(({ overrides }) => overrides.learningRateDivisor === 2)).toBe(true);
    const raised = { ...firstAttempt, overrides: { batchDivisor: 2, learningRateDivisor: 1, tierRaises: 1 } };
    expect(nextAttempt(raised, 'diverged')?.overrides).toEqual({ batchDivisor: 2, learningRateDivisor: 2, tierRaises: 1 });
  });

  it('that is given up says what was tried', () => {
    const last = (detail: TrainingFailureDetail): TrainingAttempts => allAttempts(detail).at(-1) ?? firstAttempt;
    expect(whatWasTried(last({}), 'out_of_memory')).toBe('the whole batch and parts of it down to 1/8 were tried');
    expect(whatWasTried(last({ largerTier: false }), 'out_of_memory', { largerTier: false })).toBe(
      'the whole batch and parts of it down to 1/8 were tried; there is no larger resource tier',
    );
    expect(whatWasTried(last({ largerTier: true }), 'out_of_memory', { largerTier: false })).toBe(
      'the whole batch and parts of it down to 1/8 were tried, on 2 larger resource tiers too; there is no larger resource tier',
    );
    expect(whatWasTried(firstAttempt, 'invalid_data')).toBeNull();
  });
});

describe('a spent budget', () => {
  it('is a class of its own, and no attempt helps', () => {
    expect(failureClassOf('BudgetSpent', false)).toBe('budget');
    expect(nextAttempt(firstAttempt, 'budget')).toBeNull();
  });
});
