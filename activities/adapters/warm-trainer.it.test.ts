import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync, readdirSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectDir, resolvePaths } from '../../platform/paths.ts';
import type { JobSpec, TrainingExecutor } from '../training/executor.ts';
import { createProcessExecutor, jobEnvironment } from './process-executor.ts';
import { type WarmTrainer, startWarmTrainer } from './warm-trainer.ts';

const { trainerPython: python } = resolvePaths(process.env);
const trainerFile = join(projectDir, 'test/support/looking-trainer/trainer.py');
let jobsDir = '';
/** A copy: one test changes it. */
let trainerDir = '';
let warm: WarmTrainer;
let executor: TrainingExecutor;
let cold: TrainingExecutor;
const said: string[] = [];
const note = (_: object, message: string): void => void said.push(message);

beforeAll(async () => {
  process.env['MW_OPERATOR_KEY'] = 'a secret of the worker';
  jobsDir = await mkdtemp(join(tmpdir(), 'mw-warm-'));
  trainerDir = join(jobsDir, 'trainer');
  await cp(join(projectDir, 'trainer/modelwright_trainer'), join(trainerDir, 'modelwright_trainer'), { recursive: true });
  await copyFile(join(projectDir, 'trainer/requirements.txt'), join(trainerDir, 'requirements.txt'));
  warm = startWarmTrainer({ python, trainerDir }, jobsDir, jobEnvironment(trainerDir, jobsDir), { info: note, warn: note });
  executor = createProcessExecutor({ jobsDir, python, trainerDir, warm, threads: 1 });
  cold = createProcessExecutor({ jobsDir, python, trainerDir, warm: null, threads: 1 });
});
afterAll(async () => {
  await warm.close();
  await rm(jobsDir, { recursive: true, force: true });
});

let runs = 0;
function jobOf(task: 'look' | 'wait'): JobSpec {
  const key = { tenantId: '1', customizationId: '2', run: (runs += 1) };
  return {
    ...key,
    jobName: `job-${key.run}`,
    attempt: 1,
    businessModel: { id: 'looking', version: '1', trainerFile },
    dataset: { digest: 'd', rows: 0, buckets: [] },
    baseModel: { name: 'none', path: '/nowhere', digest: 'e' },
    options: { do: task },
    overrides: { batchDivisor: 1, learningRateDivisor: 1 },
    seed: 7,
    threads: 1,
    outputs: {},
    workDir: executor.workDir(key, 1),
    cacheDir: executor.cacheDir(key),
  };
}
const follow = (by: TrainingExecutor, spec: JobSpec, onPhase: (phase: string) => void = () => undefined) =>
  by.follow(spec, ({ phase }) => onPhase(phase), AbortSignal.timeout(120_000));

type Look = { readonly result: { readonly found: unknown; readonly pid: number } };
const parentOf = (pid: number): number => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
const isGone = (pid: number): boolean => !readdirSync('/proc').includes(String(pid));
const eventually = async (holds: () => boolean): Promise<void> => expect.poll(holds, { timeout: 60_000 }).toBe(true);

/** A job that waits to be stopped, when it trains: its process, its parent, and how it ends. */
async function waiting(by: TrainingExecutor) {
  const spec = jobOf('wait');
  const trains = Promise.withResolvers<void>();
  const end = follow(by, spec, (phase) => phase === 'train' && trains.resolve());
  await trains.promise;
  const pid = Number((await readFile(join(spec.workDir, 'started'), 'utf8')).split(' ')[0]);
  return { spec, pid, parent: parentOf(pid), end };
}

describe('the warm trainer', () => {
  it('gives a job the surroundings that a cold start gives it, in a process of its own', async () => {
    const specs = [jobOf('look'), jobOf('look')] as const;
    const ends = [await follow(executor, specs[0]), await follow(cold, specs[1])] as unknown as Look[];
    const [forked, started] = ends.map(({ result }, i) => JSON.stringify(result.found).replaceAll(specs[i]?.workDir ?? '', 'JOB'));
    expect(JSON.parse(forked ?? '')).toEqual(JSON.parse(started ?? ''));
    expect(JSON.parse(forked ?? '')).toMatchObject({ 'other files': ['JOB/lock'], 'leads its session and its group': [true, true] });
    expect(forked).toContain('"HOME":"JOB"');
    expect(forked).not.toContain('a secret of the worker');
    expect(new Set([ends[0]?.result.pid, ends[1]?.result.pid, warm.pid()]).size).toBe(3);
    expect(said).toEqual(['the warm trainer is ready']);
  });

  it('runs several jobs at once, which can be stopped and killed one by one', async () => {
    const [stopped, killed] = [await waiting(executor), await waiting(executor)];
    expect([stopped.parent, killed.parent]).toEqual([warm.pid(), warm.pid()]);
    process.kill(killed.pid, 'SIGKILL');
    expect(await killed.end).toMatchObject({ kind: 'killed' });
    await executor.stop(stopped.spec);
    expect(await stopped.end).toMatchObject({ kind: 'result', result: { class: 'preempted' } });
    // Nothing is left of either, not even for its parent to bury.
    expect([stopped.pid, killed.pid].map(isGone)).toEqual([true, true]);
  });

  it('may be killed: its jobs go on, those that follow start cold, and another one is started', async () => {
    const before = await waiting(executor);
    const former = warm.pid() ?? 0;
    said.length = 0;
    process.kill(former, 'SIGKILL');
    await eventually(() => said.includes('the warm trainer ended: jobs start cold until it is back'));
    const between = await waiting(executor);
    expect(between.parent).not.toBe(former);
    await eventually(() => said.includes('the warm trainer is ready'));
    const after = await waiting(executor);
    expect(after.parent).toBe(warm.pid());
    for (const { spec, end } of [before, between, after]) {
      await executor.stop(spec);
      expect(await end).toMatchObject({ kind: 'result', result: { class: 'preempted' } });
    }
  });

  it("is another one when the trainer's sources have changed", async () => {
    const former = warm.pid() ?? 0;
    const file = join(trainerDir, 'modelwright_trainer/spec.py');
    await writeFile(file, `${await readFile(file, 'utf8')}\nmarker = 1\n`);
    const job = await waiting(executor);
    expect(job.parent).toBe(warm.pid());
    expect(job.parent).not.toBe(former);
    await eventually(() => isGone(former));
    await executor.stop(job.spec);
    await job.end;
  });

  it('that cannot load lets jobs start cold, and says why', async () => {
    const broken = join(jobsDir, 'broken');
    await cp(trainerDir, broken, { recursive: true });
    await writeFile(join(broken, 'modelwright_trainer/nursery.py'), 'import nothing_like_it\n');
    const reasons: unknown[] = [];
    const none = startWarmTrainer({ python, trainerDir: broken }, jobsDir, jobEnvironment(broken, jobsDir), {
      info: () => undefined,
      warn: (about: object) => void reasons.push(about),
    });
    try {
      const alone = createProcessExecutor({ jobsDir, python, trainerDir: broken, warm: none, threads: 1 });
      expect(await follow(alone, jobOf('look'))).toMatchObject({ kind: 'result', result: { class: 'ok' } });
      expect(JSON.stringify(reasons)).toContain("No module named 'nothing_like_it'");
    } finally {
      await none.close();
    }
  });
});

describe('the training worker', () => {
  const children = (pid: number): number[] =>
    readdirSync('/proc')
      .map(Number)
      .filter((one) => one > 0)
      .filter((one) => {
        try {
          return parentOf(one) === pid && readFileSync(`/proc/${one}/cmdline`, 'utf8').includes('modelwright_trainer.nursery');
        } catch {
          return false;
        }
      });

  for (const [value, count] of [
    ['on', 1],
    ['off', 0],
  ] as const)
    it(`with MW_WARM_TRAINER=${value} has ${count} of them, which does not outlive it`, async () => {
      const home = join(jobsDir, `home-${value}`);
      await mkdir(home);
      const port = String(20_000 + (process.pid % 10_000));
      const secret = Object.fromEntries(
        ['MYSQL_PASSWORD', 'S3_ACCESS_KEY', 'S3_SECRET_KEY', 'OPERATOR_KEY', 'INTERNAL_TOKEN'].map((name) => [`MW_${name}`, 'none']),
      );
      // No engine runs: it waits for them.
      const worker = spawn(process.execPath, [join(projectDir, 'workers/training.ts')], {
        env: { ...process.env, ...secret, MW_HOME: home, MW_TRAINING_PORT: port, MW_WARM_TRAINER: value },
        stdio: 'ignore',
      });
      const alive = (): Promise<boolean> =>
        fetch(`http://127.0.0.1:${port}/livez`).then(
          ({ ok }) => ok,
          () => false,
        );
      await expect.poll(alive, { timeout: 60_000 }).toBe(true);
      const found = children(worker.pid ?? 0);
      expect(found.length).toBe(count);
      worker.kill('SIGKILL');
      await eventually(() => found.every(isGone));
    });
});
