import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createProcessExecutor } from '../../activities/adapters/process-executor.ts';
import type { TrainingExecutor } from '../../activities/training/executor.ts';
import { projectDir, resolvePaths } from '../../platform/paths.ts';
import { startExecutor, trainJob, writeJob } from '../../test/support/train-job.ts';
import { mebibytes, median } from '../support/figures.ts';
import { cpuMicroseconds } from '../support/process-usage.ts';
import { businessModel, dataSet, requiredDataDir } from './inputs.ts';

// From submitting a job to its first optimizer step, cold and forked from the warm trainer, beside what others start with:
// `MW_DATA_DIR=... node bench/training/startup.ts [--python PYTHON_WITH_TRANSFORMERS] [--repeats 7] [--rows 1000]`. All in turn, medians.

const { values } = parseArgs({
  options: { python: { type: 'string' }, repeats: { type: 'string', default: '7' }, rows: { type: 'string', default: '1000' } },
});
const dataDir = requiredDataDir();
const paths = resolvePaths(process.env);
const model = await businessModel('text-classification');
const encoderFolder = join(paths.modelsDir, 'all-MiniLM-L6-v2');
const rows = dataSet('banking77')
  .rows(dataDir)
  .filter(({ split }) => split === 'train')
  .slice(0, Number(values.rows))
  .map((row, i) => ({ ...row, split: i % 10 === 0 ? ('evaluation' as const) : row.split }));
const pollMs = 5;

type Start = { readonly wallMs: number; readonly cpuMs: number; readonly privateBytes?: number };
const privateBytes = (pid: number): number =>
  [...readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').matchAll(/^Private_\w+:\s+(\d+) kB/gm)].reduce(
    (sum, [, kB]) => sum + Number(kB) * 1_024,
    0,
  );

/** A process that ends by itself, by the shell's clock. */
function ofProcess(command: string, ...args: readonly string[]): Start {
  const shell = 'TIMEFORMAT="%R %U %S"; time "$@" 2>/dev/null';
  const timed = execFileSync('bash', ['-c', `{ ${shell}; } 2>&1`, 'bash', command, ...args], { encoding: 'utf8' });
  const [wall = 0, user = 0, system = 0] = (timed.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { wallMs: wall * 1_000, cpuMs: (user + system) * 1_000 };
}

let jobs = 0;
/** Submits a job and kills it at its first optimizer step. */
async function ofJob(executor: TrainingExecutor, method: string, cacheDir: string): Promise<Start> {
  const workDir = join(folder, `job-${(jobs += 1)}`);
  const spec = await writeJob({
    folder: workDir,
    model: model,
    encoderFolder,
    rows,
    options: { method },
    cacheDir,
    threads: 1,
  });
  const submittedMs = Date.now();
  const end = executor.follow(spec, () => undefined, AbortSignal.timeout(120_000));
  for (let cpuMs = 0; ; await sleep(pollMs)) {
    const started = await readFile(join(workDir, 'started'), 'utf8').catch(() => '');
    if (started === '') continue;
    const pid = Number(started.split(' ')[0]);
    const lines = await readFile(join(workDir, 'progress.jsonl'), 'utf8').catch(() => '');
    cpuMs = cpuMicroseconds(pid) / 1_000;
    const step = lines.split('\n').find((line) => /"phase": "(train|calibrate)"/.test(line));
    if (step === undefined) continue;
    const found = { wallMs: (JSON.parse(step) as { at: number }).at - submittedMs, cpuMs, privateBytes: privateBytes(pid) };
    process.kill(-pid, 'SIGKILL');
    await end;
    return found;
  }
}

const folder = await mkdtemp(join(tmpdir(), 'mw-startup-'));
const { executor, warm } = startExecutor(paths, folder);
try {
  const cold = createProcessExecutor({
    jobsDir: folder,
    python: paths.trainerPython,
    trainerDir: join(projectDir, 'trainer'),
    warm: null,
    threads: 1,
  });
  const kept = join(folder, 'cache');
  // The first job waits until the warm trainer is ready, and embeds the texts.
  await trainJob({
    paths,
    folder: join(folder, 'first'),
    model,
    encoderFolder,
    rows,
    options: { method: 'head' },
    cacheDir: kept,
    threads: 1,
    executor,
  });
  const idle = Number(warm.pid());
  const ways: Record<string, () => Start | Promise<Start>> = {
    ...(values.python === undefined
      ? {}
      : { 'python -c "import torch, transformers"': () => ofProcess(values.python ?? '', '-c', 'import torch, transformers') }),
    'python -c "import torch"': () => ofProcess(paths.trainerPython, '-c', 'import torch'),
    'head, texts embedded before, cold': () => ofJob(cold, 'head', kept),
    'head, texts embedded before, warm': () => ofJob(executor, 'head', kept),
    'full, cold': () => ofJob(cold, 'full', kept),
    'full, warm': () => ofJob(executor, 'full', kept),
  };
  const found = new Map(Object.keys(ways).map((name) => [name, [] as Start[]]));
  for (let i = 0; i < Number(values.repeats); i += 1)
    for (const [name, measure] of Object.entries(ways)) found.get(name)?.push(await measure());
  const [yardstick = []] = [...found.values()];
  const cpuOf = (starts: readonly Start[]): number => median(starts.map(({ cpuMs }) => cpuMs));
  console.log(`${rows.length} rows, one thread, medians of ${values.repeats}, in turn`);
  console.log('| what | wall s | wall s, least | CPU s | share of the first line (wall, CPU) | private memory |');
  console.log('|---|---|---|---|---|---|');
  const wallOf = (starts: readonly Start[]): number => median(starts.map(({ wallMs }) => wallMs));
  for (const [name, starts] of found) {
    const shares = [wallOf(starts) / wallOf(yardstick), cpuOf(starts) / cpuOf(yardstick)].map((share) => `1/${(1 / share).toFixed(1)}`);
    const memory = starts.flatMap(({ privateBytes: bytes }) => (bytes === undefined ? [] : [bytes]));
    const least = Math.min(...starts.map(({ wallMs }) => wallMs));
    const figures = [wallOf(starts) / 1_000, least / 1_000, cpuOf(starts) / 1_000].map((seconds) => seconds.toFixed(2));
    console.log(`| ${name} | ${figures.join(' | ')} | ${shares.join(', ')} | ${memory.length > 0 ? mebibytes(median(memory)) : ''} |`);
  }
  console.log(
    `the warm trainer while it waits: ${mebibytes(privateBytes(idle))} of its own, ${(cpuMicroseconds(idle) / 1e6).toFixed(1)} CPU s so far`,
  );
} finally {
  await warm.close();
  await rm(folder, { recursive: true, force: true });
}
