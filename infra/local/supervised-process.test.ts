import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { resolvePaths } from '../../platform/paths.ts';
import { eventually } from '../../test/support/workflow-fixture.ts';
import type { ProcessSpec } from './process-spec.ts';
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

it.each([
  [
    'an error of our own services',
    `echo '{"level":30,"msg":"started"}'; echo '{"level":60,"msg":"failed to start","err":{"message":"port 1 is taken"}}'; echo '{"level":30,"msg":"bye"}'`,
    'failed to start: port 1 is taken',
  ],
  [
    'an error of Temporal',
    `echo '{"level":"fatal","msg":"Failed to start","error":"bind: address already in use"}'; echo '{"level":"info","msg":"bye"}'`,
    'Failed to start: bind: address already in use',
  ],
  ['the last line of an engine', 'echo first; echo "[ERROR] no data directory"; echo', '[ERROR] no data directory'],
])('says with what words a process ended that never was ready: %s', async (_, script, words) => {
  const paths = resolvePaths({ MW_HOME: folder });
  const spec: ProcessSpec = {
    name: 'kafka',
    after: [],
    ports: [],
    command: 'sh',
    args: ['-c', script],
    probe: () => Promise.reject(new Error('not yet')),
    readyDeadlineMs: 10_000,
    stopDeadlineMs: 1_000,
  };
  const told = `kafka ended while starting (${words}): see \`./mw logs kafka\``;
  await expect(new SupervisedProcess(spec, paths, () => undefined).start()).rejects.toThrow(told);
  // What an earlier start said is not said again.
  await expect(new SupervisedProcess({ ...spec, args: ['-c', 'exit 1'] }, paths, () => undefined).start()).rejects.toThrow(
    'kafka ended while starting: see',
  );
});
