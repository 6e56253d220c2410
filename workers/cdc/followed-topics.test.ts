import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLogger } from '../../platform/logger.ts';
import { FollowedTopics } from './followed-topics.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function follow(wanted: readonly string[], existing: Set<string>) {
  const reads: string[] = [];
  const followed = new FollowedTopics(wanted, {
    listTopics: () => Promise.resolve([...existing]),
    read: (topics) => Promise.resolve(void reads.push(topics.join())),
    logger: createLogger('test', 'error'),
    signal: new AbortController().signal,
  });
  return { followed, reads };
}

describe('followed topics', () => {
  it('are read as far as they exist, and the others as soon as they do', async () => {
    const existing = new Set(['a']);
    const { followed, reads } = follow(['a', 'b'], existing);
    await followed.start();
    expect(reads).toEqual(['a']);
    existing.add('b');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(reads).toEqual(['a', 'a,b']);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reads).toHaveLength(2);
    await followed.stop();
  });
  it('are read without one that was deleted, within ten seconds', async () => {
    const existing = new Set(['a', 'b']);
    const { followed, reads } = follow(['a', 'b'], existing);
    await followed.start();
    existing.delete('b');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(reads).toEqual(['a,b', 'a']);
    await followed.stop();
  });
  it('are read anew when they are replaced, and not when they stay the same', async () => {
    const { followed, reads } = follow(['a'], new Set(['a', 'b']));
    await followed.set(['a', 'b']);
    expect(reads).toEqual([]);
    await followed.start();
    await followed.set(['b', 'a', 'b']);
    await followed.set(['b']);
    expect(reads).toEqual(['a,b', 'b']);
    await followed.stop();
  });
  it('are read anew when the reading ended by itself, also while it began', async () => {
    const reads: string[] = [];
    let ends = 2;
    const followed: FollowedTopics = new FollowedTopics(['a'], {
      listTopics: () => Promise.resolve(['a']),
      async read(topics) {
        reads.push(topics.join());
        if (ends-- > 0) void followed.again();
        await Promise.resolve();
      },
      logger: createLogger('test', 'error'),
      signal: new AbortController().signal,
    });
    await followed.start();
    await vi.advanceTimersByTimeAsync(100);
    expect(reads).toEqual(['a', 'a', 'a']);
    await followed.stop();
  });
  it('do not hold up a stop when no broker answers', async () => {
    const followed = new FollowedTopics(['a'], {
      listTopics: () => new Promise(() => undefined),
      read: () => Promise.resolve(),
      logger: createLogger('test', 'error'),
      signal: new AbortController().signal,
    });
    void followed.start();
    const stopped = followed.stop();
    await vi.advanceTimersByTimeAsync(2_000);
    await expect(stopped).resolves.toBeUndefined();
  });
});
