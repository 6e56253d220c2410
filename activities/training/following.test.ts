import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ProgressLines, parseProgress } from '../adapters/progress-lines.ts';
import { HangWatch } from './hang-watch.ts';

describe('progress lines', () => {
  it('are read once each, also when a line arrives in pieces and other lines are in between', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mw-lines-'));
    try {
      const path = join(folder, 'progress.jsonl');
      const lines = new ProgressLines(path);
      expect(await lines.next()).toEqual([]);
      await appendFile(path, '{"type":"progress","phase":"train","step":1,"steps":9,"epoch":0,"loss":0.5,"etaMs":10}\n{"type":"log"');
      expect((await lines.next()).map(({ step }) => step)).toEqual([1]);
      await appendFile(path, ',"message":"x"}\nnot json\n{"type":"progress","phase":"train","step":2,"steps":9}\n');
      expect(await lines.next()).toEqual([{ phase: 'train', step: 2, steps: 9, epoch: 0, loss: null, etaMs: null }]);
      expect(await lines.next()).toEqual([]);
      await lines.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('of another kind are none', () => {
    expect(parseProgress('{"type":"progress"}')).toBeNull();
    expect(parseProgress('')).toBeNull();
  });
});

describe('the hang watch', () => {
  it('waits long for the first line, then judges a job by its own pace', () => {
    const watch = new HangWatch(0);
    expect(watch.hungAfterMs(299_000)).toBeNull();
    expect(watch.hungAfterMs(301_000)).toBe(301_000);
    for (let at = 10_000; at <= 100_000; at += 10_000) watch.progressed(at);
    expect(watch.hungAfterMs(100_000 + 199_000)).toBeNull();
    expect(watch.hungAfterMs(100_000 + 201_000)).toBe(201_000);
  });

  it('gives a fast job two minutes', () => {
    const watch = new HangWatch(0);
    for (let at = 100; at <= 1_000; at += 100) watch.progressed(at);
    expect(watch.hungAfterMs(1_000 + 119_000)).toBeNull();
    expect(watch.hungAfterMs(1_000 + 121_000)).not.toBeNull();
  });
});
