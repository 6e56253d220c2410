import { describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import { gateDetails } from './details.ts';
import { mcNemar, pairedTest, signFlip } from './paired-test.ts';
import { type Judged, judge } from './verdict.ts';

const model = (await loadCatalog()).get('text-classification');
if (!model) throw new Error('the catalogue lacks text-classification');

/** `n` rows of a label, of which the candidate and production get so many right. */
const rows = (label: string, n: number, candidate: number, current: number | null = null): Judged[] =>
  Array.from({ length: n }, (_, i) => ({
    id: `${label}-${i}`,
    expected: { label },
    predicted: { label: i < candidate ? label : 'wrong', score: 0.9 },
    current: current === null ? null : { label: i < current ? label : 'wrong', score: 0.8 },
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

describe('the test by sign flips', () => {
  it('is exact for few differences', () => {
    expect(signFlip([])).toBeNull();
    expect(signFlip([0, 0])).toBeNull();
    // All four of one sign: 2 of 16 sums are as far away.
    expect(signFlip([0.5, 0.5, 0.5, 0.5])).toBe(2 / 16);
    // 0.4 or more away: +++, ++-, +-+, and their opposites, and those with the large one alone.
    expect(signFlip([0.5, 0.1, -0.2])).toBe(6 / 8);
  });

  it('comes to the same for many by draws and by approximation as McNemar does, and is the same at every call', () => {
    const differences = (n: number): number[] => Array.from({ length: n }, (_, i) => (i % 5 < 3 ? 1 : -1));
    for (const n of [100, 1_000, 2_500]) {
      const p = signFlip(differences(n)) ?? 0;
      expect(Math.abs(p - (mcNemar((n * 3) / 5, (n * 2) / 5) ?? 0))).toBeLessThan(0.02);
      expect(signFlip(differences(n))).toBe(p);
    }
  });

  it('takes the place of McNemar where a row can be half right', () => {
    expect(
      pairedTest([
        { candidate: 1, current: 0 },
        { candidate: 1, current: 1 },
      ]),
    ).toBe(mcNemar(1, 0));
    expect(
      pairedTest([
        { candidate: 0.5, current: 0 },
        { candidate: 1, current: 0.25 },
      ]),
    ).toBe(0.5);
  });
});

describe('what the gate keeps', () => {
  const judged = [...rows('a', 4, 3, 2), ...rows('b', 2, 0, 2)];
  const details = gateDetails(judged, model, 1);

  it('is what was taken for what, which rows are wrong, and which production answers otherwise', () => {
    expect(details.confusions).toEqual([
      { expected: 'b', predicted: 'wrong', rows: 2 },
      { expected: 'a', predicted: 'wrong', rows: 1 },
    ]);
    expect(details.worstErrors).toEqual(['a-3', 'b-0', 'b-1'].map((id) => ({ id, credit: 0, score: 0.9 })));
    expect(details.changed).toEqual([
      { id: 'b-0', candidate: 0, current: 1 },
      { id: 'b-1', candidate: 0, current: 1 },
      { id: 'a-2', candidate: 1, current: 0 },
    ]);
    expect([details.candidate.values['accuracy'], details.current?.values['accuracy']]).toEqual([0.5, 4 / 6]);
  });
});

describe('the gate', () => {
  const of = (judged: readonly Judged[], current: number | null) => judge(judged, model, current);

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

  it('rejects what is worse for certain, holds what may be worse by chance, and overlooks a row or two of few', () => {
    expect(of(rows('a', 200, 150, 190), 3)).toMatchObject({ verdict: 'reject', currentVersion: 3, changedPredictions: 40 });
    expect(of(rows('a', 50, 43, 47), 3).verdict).toBe('hold');
    expect(of(rows('a', 50, 44, 47), 3).verdict).toBe('hold');
    expect(of(rows('a', 50, 45, 47), 3).verdict).toBe('promote');
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
