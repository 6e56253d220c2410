import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { isSeen, noteSeen } from './seen-bases.ts';

const base = { key: 'base/manifests/x.json', sha256: 'x', bytes: 1 };
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

it('what was seen of a base model counts under the same mark, in the same bucket, and for a quarter of an hour', () => {
  const store = { bucket: 'one' };
  expect(isSeen(store, base, 'mark')).toBe(false);
  noteSeen(store, base, 'mark');
  expect(isSeen(store, base, 'mark')).toBe(true);
  expect(isSeen(store, base, 'another mark')).toBe(false);
  expect(isSeen({ bucket: 'two' }, base, 'mark')).toBe(false);
  expect(isSeen(store, { ...base, sha256: 'y' }, 'mark')).toBe(false);
  vi.advanceTimersByTime(15 * 60_000 - 1);
  expect(isSeen(store, base, 'mark')).toBe(true);
  vi.advanceTimersByTime(1);
  expect(isSeen(store, base, 'mark')).toBe(false);
});
