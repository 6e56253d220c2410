import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { projectDir, resolvePaths } from '../../platform/paths.ts';
import { writeJob } from '../../test/support/train-job.ts';
import { createProcessExecutor } from './process-executor.ts';

it('a later attempt goes on from the checkpoints of the one before, which are not copied; what was being written is left out', async () => {
  const jobsDir = await mkdtemp(join(tmpdir(), 'mw-jobs-'));
  try {
    const { trainerPython: python } = resolvePaths(process.env);
    const executor = createProcessExecutor({ jobsDir, python, trainerDir: join(projectDir, 'trainer'), warm: null, threads: 1 });
    const model = { id: 'looking', version: '1', trainerFile: join(projectDir, 'test/support/looking-trainer/trainer.py') };
    const template = await writeJob({ folder: join(jobsDir, 'job'), model, encoderFolder: '', rows: [], options: { do: 'look' } });
    const [before, own] = [1, 2].map((attempt) => join(executor.workDir(template, attempt), 'checkpoints')) as [string, string];
    await mkdir(join(before, 'embeddings'), { recursive: true });
    for (const name of ['step-000000010.ckpt', '.step.77', 'embeddings/a.seg']) await writeFile(join(before, name), name);

    const spec = { ...template, attempt: 2, workDir: executor.workDir(template, 2) };
    const end = await executor.follow(spec, () => undefined, AbortSignal.timeout(60_000));
    expect(end).toMatchObject({ kind: 'result', result: { class: 'ok' } });
    expect((await readdir(own)).sort()).toEqual(['embeddings', 'step-000000010.ckpt']);
    expect(await readFile(join(own, 'embeddings/a.seg'), 'utf8')).toBe('embeddings/a.seg');
    const inodes = await Promise.all([before, own].map(async (folder) => (await stat(join(folder, 'step-000000010.ckpt'))).ino));
    expect(new Set(inodes).size).toBe(1);
    // The former attempt's folder may go.
    await rm(before, { recursive: true });
    expect(await readFile(join(own, 'step-000000010.ckpt'), 'utf8')).toBe('step-000000010.ckpt');
  } finally {
    await rm(jobsDir, { recursive: true, force: true });
  }
});
