import { describe, expect, it } from 'vitest';
import { type LagItem, lagTable } from './lag-table.ts';

const now = '2026-05-01T12:10:00.000Z';
const item = (over: Partial<LagItem>): LagItem => ({
  tenantId: 'acme',
  customizationId: 'intents',
  ms: 0,
  at: now,
  oldestUnlearnedAt: null,
  oldestUnservedAt: null,
  unlearnedCommits: 0,
  lastRun: null,
  slo: { ms: null, state: 'none', detail: '' },
  ...over,
});
const why = (over: Partial<LagItem>): string => lagTable([item(over)]).split('\n')[1] ?? '';

describe('the table of lag', () => {
  it('says what the newest run does while something waits, and what came of it when it did not succeed', () => {
    const oldestUnservedAt = '2026-05-01T12:00:00.000Z';
    const run = (state: 'training' | 'failed' | 'succeeded', reason: string | null = null) => ({ number: 2, state, reason });
    expect(why({ oldestUnservedAt, lastRun: run('training') })).toMatch(/10 min.* run 2: training$/);
    expect(why({ oldestUnservedAt, lastRun: run('failed', 'the disk is full') })).toMatch(/run 2 was failed: the disk is full$/);
    expect(why({ oldestUnservedAt, lastRun: run('succeeded') })).not.toMatch(/run 2/);
    expect(why({ lastRun: run('failed', 'the disk is full') })).not.toMatch(/run 2/);
  });
  it('says why an objective is missed', () => {
    expect(why({ slo: { ms: 60_000, state: 'missed', detail: 'a commit waits for 10 min' } })).toContain('a commit waits for 10 min');
  });
});
