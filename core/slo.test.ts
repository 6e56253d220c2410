import { describe, expect, it } from 'vitest';
import { burnRate, judgeSlo } from './slo.ts';

const quiet = { short: { due: 0, late: 0 }, long: { due: 0, late: 0 } };

describe('an objective for serving', () => {
  it('burns as fast as late commits exceed the one in a hundred that may be late', () => {
    expect(burnRate({ due: 0, late: 0 })).toBe(0);
    expect(burnRate({ due: 200, late: 2 })).toBeCloseTo(1);
    expect(burnRate({ due: 10, late: 10 })).toBeCloseTo(100);
  });

  it('is missed while a commit waits longer than allowed, burning while both windows say so, met otherwise', () => {
    expect(judgeSlo({ sloMs: null, oldestUnservedMs: 9e9, counts: quiet }).state).toBe('none');
    expect(judgeSlo({ sloMs: 60_000, oldestUnservedMs: 59_000, counts: quiet }).state).toBe('met');
    const missed = judgeSlo({ sloMs: 60_000, oldestUnservedMs: 61_000, counts: quiet });
    expect(missed.state).toBe('missed');
    expect(missed.detail).toContain('waited 61 s');
    const both = { short: { due: 10, late: 5 }, long: { due: 20, late: 5 } };
    expect(judgeSlo({ sloMs: 60_000, oldestUnservedMs: null, counts: both }).state).toBe('burning');
    const over = { short: { due: 10, late: 0 }, long: { due: 20, late: 5 } };
    expect(judgeSlo({ sloMs: 60_000, oldestUnservedMs: null, counts: over }).state).toBe('met');
  });
});
