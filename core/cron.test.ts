import { describe, expect, it } from 'vitest';
import { cronProblem, nextCronTime, parseCron } from './cron.ts';

const next = (expression: string, from: string): string | null => {
  const cron = parseCron(expression);
  if (!cron) throw new Error(`does not parse: ${expression}`);
  const at = nextCronTime(cron, Date.parse(from));
  return at === null ? null : new Date(at).toISOString();
};

describe('cron', () => {
  it('names the next time at or after a moment, in UTC', () => {
    expect(next('0 2 * * *', '2026-03-01T02:00:00.000Z')).toBe('2026-03-01T02:00:00.000Z');
    expect(next('0 2 * * *', '2026-03-01T02:00:00.001Z')).toBe('2026-03-02T02:00:00.000Z');
    expect(next('*/15 8-10 * * 1-5', '2026-03-06T10:46:00Z')).toBe('2026-03-09T08:00:00.000Z');
    expect(next('5/20 * * * *', '2026-03-06T10:46:00Z')).toBe('2026-03-06T11:05:00.000Z');
    expect(next('0 0 29 2 *', '2026-03-06T10:46:00Z')).toBe('2028-02-29T00:00:00.000Z');
  });
  it('takes 0 and 7 for Sunday, and either day field where both are restricted', () => {
    expect(next('0 0 * * 7', '2026-03-06T00:00:00Z')).toBe('2026-03-08T00:00:00.000Z');
    expect(next('0 0 * * 0', '2026-03-06T00:00:00Z')).toBe('2026-03-08T00:00:00.000Z');
    expect(next('0 0 10 * 1', '2026-03-06T00:00:00Z')).toBe('2026-03-09T00:00:00.000Z');
    expect(next('0 0 10 * 1', '2026-03-09T00:01:00Z')).toBe('2026-03-10T00:00:00.000Z');
  });
  it('has no next time on a day that does not exist', () => {
    expect(next('0 0 31 2 *', '2026-03-06T00:00:00Z')).toBeNull();
  });
  it('names the field that is wrong', () => {
    expect(cronProblem('0 2 * * *')).toBeNull();
    expect(cronProblem('0 2 * *')).toMatch(/five fields.*4/);
    expect(cronProblem('61 2 * * *')).toMatch(/^minute "61"/);
    expect(cronProblem('0 2 * 1-13 *')).toMatch(/^month "1-13"/);
    expect(cronProblem('0 2 * * */0')).toMatch(/^day of week/);
    expect(parseCron('0 2 * * mon')).toBeNull();
  });
});
