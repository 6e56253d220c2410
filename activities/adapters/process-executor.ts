import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { link, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CustomizationKey, RunKey } from '../../core/ids.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import { isAlive, startTicksOf } from '../../platform/process-identity.ts';
import { type JobEnd, type JobResult, type JobSpec, type TrainingExecutor } from '../training/executor.ts';
import { HangWatch } from '../training/hang-watch.ts';
import { jobText, runOf, runText } from '../training/job-text.ts';
import { ProgressLines } from './progress-lines.ts';
import type { WarmTrainer } from './warm-trainer.ts';

export type ProcessExecutorOptions = {
  readonly jobsDir: string;
  readonly python: string;
  /** Folder that holds the trainer package. */
  readonly trainerDir: string;
  /** Null: every job loads its libraries itself. */
  readonly warm: Pick<WarmTrainer, 'fork'> | null;
  /** CPU threads of a job. */
  readonly threads: number;
};

/** So soon the end of a job, or its death, is seen. */
const pollMs = 50;
/** A job has this long for its checkpoint after SIGTERM. */
const stopDeadlineMs = 20_000;
const logTailLines = 12;

/** Nothing of this worker's environment, least of all its secrets. */
export const jobEnvironment = (trainerDir: string, folder: string): Readonly<Record<string, string>> => ({
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  HOME: folder,
  PYTHONPATH: trainerDir,
  PYTHONUNBUFFERED: '1',
  LC_ALL: 'C.UTF-8',
});

/** Trainings as local processes, each in a group of its own: they outlive the worker that started them, and the next one adopts them. */
export function createProcessExecutor({ jobsDir, python, trainerDir, warm, threads }: ProcessExecutorOptions): TrainingExecutor {
  const cachesDir = join(jobsDir, 'cache');
  const cacheDir = ({ tenantId, customizationId }: CustomizationKey): string => join(cachesDir, `${tenantId}.${customizationId}`);
  const workDir = (key: RunKey, attempt: number): string => join(jobsDir, jobText(key, attempt));
  const jobFolders = async (key: RunKey): Promise<string[]> =>
    (await readdir(jobsDir).catch(() => [])).filter((name) => name.startsWith(`${runText(key)}.`)).map((name) => join(jobsDir, name));

  /** Starts the trainer; of two starts for one folder, the trainer's own lock lets one work. */
  const start = async (spec: JobSpec): Promise<void> => {
    const folder = spec.workDir;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await takeCheckpoints(spec);
    const temporary = join(folder, 'spec.json.new');
    await writeFile(temporary, JSON.stringify(spec), { mode: 0o600 });
    await rename(temporary, join(folder, 'spec.json'));
    const env = jobEnvironment(trainerDir, folder);
    const pid = (await warm?.fork(folder, env)) ?? (await startCold(folder, env));
    await writeFile(join(folder, 'started'), `${pid} ${startTicksOf(pid)}`);
  };

  const startCold = async (folder: string, env: Readonly<Record<string, string>>): Promise<number> => {
    const out = openSync(join(folder, 'progress.jsonl'), 'a');
    const log = openSync(join(folder, 'trainer.log'), 'a');
    const child = spawn(python, ['-m', 'modelwright_trainer', '--spec', join(folder, 'spec.json')], {
      cwd: folder,
      env,
      stdio: ['ignore', out, log],
      detached: true,
    });
    closeSync(out);
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) =>
        reject(new Error(`the trainer could not be started (${error.message}): run \`./mw doctor\``, { cause: error })),
      );
    });
    child.unref();
    return child.pid ?? 0;
  };

  /** A later attempt goes on from the checkpoint of the one before. */
  const takeCheckpoints = async (spec: JobSpec): Promise<void> => {
    const own = join(spec.workDir, 'checkpoints');
    const before = join(workDir(spec, spec.attempt - 1), 'checkpoints');
    if (spec.attempt === 1 || existsSync(own) || !existsSync(before)) return;
    await rm(`${own}.new`, { recursive: true, force: true });
    await linkFiles(before, `${own}.new`);
    await rename(`${own}.new`, own);
  };

  return {
    workDir,
    cacheDir,
    // A local process has what its host has: tiers are for clusters.
    provide: ({ trainerFile, base }) => Promise.resolve({ trainerFile, basePath: base.folder, largerTier: false, host: { threads } }),
    caches: async () =>
      (await readdir(cachesDir).catch(() => [])).map((name) => {
        // Ids have no dot.
        const [tenantId = '', customizationId = ''] = name.split('.');
        return { tenantId, customizationId };
      }),
    removeCache: (key) => rm(cacheDir(key), { recursive: true, force: true, maxRetries: 3 }),
    follow: async (spec, onProgress, signal) => {
      const ended = await readResult(spec.workDir);
      if (ended?.class === 'ok') return { kind: 'result', result: ended };
      if (!(await runningPid(spec.workDir))) {
        // What a killed job left is not the end of this one.
        await rm(join(spec.workDir, 'result.json'), { force: true });
        await start(spec);
      }
      const lines = new ProgressLines(join(spec.workDir, 'progress.jsonl'));
      const watch = new HangWatch(nowMs());
      try {
        for (;;) {
          signal.throwIfAborted();
          const running = await runningPid(spec.workDir);
          for (const progress of await lines.next()) {
            watch.progressed(nowMs());
            onProgress(progress);
          }
          if (running === null) return await endOf(spec.workDir);
          const silent = watch.hungAfterMs(nowMs());
          if (silent !== null) {
            endGroup(running, 'SIGKILL');
            return { kind: 'hang', detail: `no progress for ${Math.round(silent / 1000)} s: the job was killed` };
          }
          await sleep(pollMs, undefined, { signal });
        }
      } finally {
        await lines.close();
      }
    },
    stop: async (key) => {
      for (const folder of await jobFolders(key)) await stopJob(folder);
      return {};
    },
    jobs: async () => {
      return (await readdir(jobsDir).catch(() => [])).map(runOf).filter((run) => run !== null);
    },
    discard: async (key) => {
      for (const folder of await jobFolders(key)) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The same files in another folder, without copying: what is in a checkpoint's file never changes. What was being written is left out. */
async function linkFiles(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await linkFiles(source, target);
    else if (!entry.name.startsWith('.')) await link(source, target);
  }
}

/** SIGTERM, time for a checkpoint, SIGKILL. */
export async function stopJob(folder: string): Promise<void> {
  const pid = await runningPid(folder);
  if (pid === null) return;
  endGroup(pid, 'SIGTERM');
  const deadline = nowMs() + stopDeadlineMs;
  while ((await runningPid(folder)) !== null && nowMs() < deadline) await sleep(pollMs);
  endGroup(pid, 'SIGKILL');
  while ((await runningPid(folder)) !== null) await sleep(pollMs);
}

/** The job's process while it lives: the one that we started, or the one that holds the trainer's lock. */
async function runningPid(folder: string): Promise<number | null> {
  const [pid = '', ticks = ''] = (await readFile(join(folder, 'started'), 'utf8').catch(() => '')).split(' ');
  if (isAlive(Number(pid), ticks)) return Number(pid);
  const text = await readFile(join(folder, 'pid'), 'utf8').catch(() => '');
  if (text === '') return null;
  try {
    const own = JSON.parse(text) as { pid: number; startTicks: number | string };
    return isAlive(own.pid, String(own.startTicks)) ? own.pid : null;
  } catch {
    return null;
  }
}

async function readResult(folder: string): Promise<JobResult | null> {
  const text = await readFile(join(folder, 'result.json'), 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as JobResult);
}

async function endOf(folder: string): Promise<JobEnd> {
  const result = await readResult(folder);
  if (result) return { kind: 'result', result };
  const log = await readFile(join(folder, 'trainer.log'), 'utf8').catch(() => '');
  const tail = log
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-logTailLines);
  // Python names the error in its last line; a process that was killed leaves none.
  const crashed = tail.some((line) => line.startsWith('Traceback'));
  if (crashed) return { kind: 'result', result: { class: 'error', message: `the trainer crashed: ${tail.at(-1) ?? ''}` } };
  return { kind: 'killed', detail: 'the job was killed from outside: it goes on from its last checkpoint' };
}

function endGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended by itself.
  }
}
