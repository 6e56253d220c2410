import { describe, expect, it } from 'vitest';
import { type ForgettingFacts, nextForgettingStep } from './forgetting.ts';

const clean: ForgettingFacts = {
  deadlinePassed: false,
  exists: true,
  rowsInTable: [],
  versions: [],
  datasets: [],
  unread: [],
  production: 3,
  latestDataset: 3,
  runs: [],
  equalVersion: null,
};
const step = (facts: Partial<ForgettingFacts>) => nextForgettingStep({ ...clean, ...facts });
const v = (version: number, held = false) => ({ version, held });

describe('what comes next when rows are forgotten', () => {
  it('waits for a dataset without them, then for a version that serves, and then withdraws what learned them', () => {
    expect(step({ versions: [v(3)], datasets: [3] })).toMatchObject({
      next: 'wait',
      waitsFor: [/dataset 3 holds/, /v3 learned/].map((is) => expect.stringMatching(is)),
    });
    expect(step({ datasets: [3], unread: [3] })).toMatchObject({
      next: 'wait',
      waitsFor: [expect.stringContaining('dataset 3 is damaged')],
    });
    expect(step({ versions: [v(3)], datasets: [3], latestDataset: 4 })).toMatchObject({ next: 'wait', state: 'waiting' });
    expect(step({ versions: [v(3)], datasets: [3], latestDataset: 4, production: 4 })).toEqual({ next: 'withdraw' });
    expect(step({ datasets: [3], latestDataset: 4, production: 4 })).toEqual({ next: 'withdraw' });
    expect(step({})).toEqual({ next: 'remove' });
  });

  it('takes a version that learned just the rows that are left', () => {
    const facts = { versions: [v(3)], datasets: [3], latestDataset: 4, equalVersion: 1 };
    expect(step(facts)).toEqual({ next: 'promote', version: 1 });
    expect(step({ ...facts, runs: [{ run: 5, dataset: null, old: false, paused: false }] })).toMatchObject({ next: 'wait' });
  });

  it('waits for runs that learn them, and cancels them when the deadline has passed', () => {
    const runs = [
      { run: 4, dataset: 3, old: true, paused: true },
      { run: 5, dataset: null, old: false, paused: false },
    ];
    const waiting = step({ runs });
    expect(waiting).toMatchObject({ next: 'wait', cancelRuns: [] });
    expect(JSON.stringify(waiting)).toMatch(/run 4 .* it is paused, resume or cancel it/);
    // A run that began after the request, and has no dataset yet, builds one without them.
    expect(step({ runs, deadlinePassed: true })).toMatchObject({ next: 'wait', cancelRuns: [4] });
    expect(step({ runs: runs.slice(1), deadlinePassed: true })).toEqual({ next: 'remove' });
  });

  it('withdraws what serves when the deadline has passed or the customization is gone', () => {
    const facts = { versions: [v(2), v(3)], datasets: [2, 3] };
    expect(step({ ...facts, deadlinePassed: true })).toEqual({ next: 'withdraw' });
    expect(step({ ...facts, exists: false })).toEqual({ next: 'withdraw' });
  });

  it('withdraws all but what is held, and says who must release that', () => {
    const facts = { datasets: [1, 2], latestDataset: 4, production: 4 };
    expect(step({ ...facts, versions: [v(1, true), v(2)] })).toEqual({ next: 'withdraw' });
    expect(step({ ...facts, datasets: [1], versions: [v(1, true)] })).toMatchObject({
      next: 'wait',
      state: 'blocked',
      waitsFor: [expect.stringContaining('an operator holds v1')],
    });
  });

  it('is blocked by rows that are in the table again', () => {
    expect(step({ rowsInTable: ['a'], deadlinePassed: true })).toMatchObject({
      state: 'blocked',
      waitsFor: [expect.stringContaining('delete a')],
    });
  });
});
