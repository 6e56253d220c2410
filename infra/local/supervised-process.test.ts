import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { resolvePaths } from '../../platform/paths.ts';
import { eventually } from '../../test/support/workflow-fixture.ts';
import { SupervisedProcess } from './supervised-process.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mw-supervised-'))));
afterEach(async () => await rm(folder, { recursive: true, force: true }));

it('starts a process again that dies while it is being prepared, whether or not the preparation would ever end', async () => {
  const asked: AbortSignal[] = [];
  const never = Promise.withResolvers<void>().promise;
  const process = new SupervisedProcess(
    {
      name: 'kafka',
      after: [],
      ports: [],
      command: 'sleep',
      args: ['300'],
      probe: () => Promise.resolve(),
      readyDeadlineMs: 10_000,
      stopDeadlineMs: 1_000,
      onReady: async (signal) => {
        asked.push(signal);
        if (asked.length === 2) await never;
      },
    },
    resolvePaths({ MW_HOME: folder }),
    () => undefined,
  );
  await process.start();
  try {
    process.kill('SIGKILL');
    await eventually(
      () => asked.length,
      (times) => times === 2,
    );
    expect(process.status).toMatchObject({ state: 'starting', pid: expect.any(Number) });
    process.kill('SIGKILL');
    await eventually(
      () => process.status,
      ({ state, restarts }) => state === 'running' && restarts === 2,
    );
    expect(asked.map(({ aborted }) => aborted)).toEqual([true, true, false]);
  } finally {
    await process.stop();
  }
  // There is nothing to kill.
  process.kill('SIGKILL');
  expect(process.status).toMatchObject({ state: 'stopped', pid: null });
});
