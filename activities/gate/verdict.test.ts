import { describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import { mcNemar } from './paired-test.ts';
import { type Judged, judge } from './verdict.ts';

const gate = loadCatalog().get('text-classification')?.gate;
if (!gate) throw new Error('the catalogue lacks text-classification');

/** `n` rows of a label, of which the candidate and production get so many right. */
const rows = (label: string, n: number, candidate: number, current: number | null = null): Judged[] =>
  Array.from({ length: n }, (_, i) => ({
    label,
    candidate: i < candidate ? label : 'wrong',
    current: current === null ? null : i < current ? label : 'wrong',
  }));

describe('the paired test', () => {
  it('gives the two-sided binomial chance of the disagreements', () => {
    expect(mcNemar(0, 0)).toBeNull();
    expect(mcNemar(5, 5)).toBe(1);
    expect(mcNemar(0, 5)).toBeCloseTo(0.0625, 10);
    expect(mcNemar(10, 2)).toBeCloseTo(0.03857, 4);
    expect(mcNemar(600, 500)).toBeCloseTo(0.0028, 3);
  });
});

describe('the gate', () => {
  const of = (judged: readonly Judged[], current: number | null) => judge(judged, gate, 'accuracy', current);

  it('promotes a first version that is good enough, and rejects one below the minimum with the figure', () => {
    expect(of([...rows('a', 20, 19), ...rows('b', 20, 18)], null)).toMatchObject({ verdict: 'promote', candidate: 0.925, current: null });
    const bad = of([...rows('a', 20, 5), ...rows('b', 20, 5)], null);
    expect(bad.verdict).toBe('reject');
    expect(bad.explanation).toContain('25.0 %');
  });

  it('promotes what is better or within the margin', () => {
    expect(of(rows('a', 200, 190, 180), 3).verdict).toBe('promote');
    expect(of(rows('a', 200, 189, 190), 3).verdict).toBe('promote');
  });

  it('rejects what is worse for certain, holds what may be worse by chance', () => {
    expect(of(rows('a', 200, 150, 190), 3)).toMatchObject({ verdict: 'reject', currentVersion: 3, changedPredictions: 40 });
    expect(of(rows('a', 50, 45, 47), 3).verdict).toBe('hold');
  });

  it('holds when a label is lost, and names it', () => {
    const verdict = of([...rows('a', 90, 90, 90), ...rows('lost', 10, 0, 8)], 2);
    expect(verdict.verdict).toBe('hold');
    expect(verdict.explanation).toContain('"lost"');
    expect(verdict.labels['lost']).toEqual({ candidate: 0, current: 0.8, support: 10 });
  });

  it('does not blame a candidate for a label that production does not know either', () => {
    expect(of([...rows('a', 90, 90, 90), ...rows('hard', 10, 0, 0)], 2).verdict).toBe('promote');
  });

  it('says that it could not judge when there are too few rows', () => {
    expect(of(rows('a', 3, 3), null)).toMatchObject({ verdict: 'promote', testRows: 3 });
    expect(of(rows('a', 3, 1, 3), 1).verdict).toBe('hold');
  });
});
