import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { JobSpec } from '../../activities/training/executor.ts';
import type { TrainingProgress } from '../../core/run.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { startExecutor, trainJob, writeJob } from '../../test/support/train-job.ts';
import { businessModel, dataSet, requiredDataDir } from './inputs.ts';

// What is left of the time when a fine-tuning is killed (`kill -9`) again and again, and what its checkpoints cost:
// `MW_DATA_DIR=... node bench/training/goodput.ts [--rows 10000] [--epochs 1] [--every 30]`. The same training twice, by the process executor:
// undisturbed, then killed every so many seconds, each time followed by the next attempt.

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000' },
    epochs: { type: 'string', default: '1' },
    every: { type: 'string', default: '30' },
    threads: { type: 'string', default: '1' },
  },
});
const dataDir = requiredDataDir();
const paths = resolvePaths(process.env);
const model = await businessModel('text-classification');
const rows = dataSet('banking77')
  .rows(dataDir)
  .slice(0, Number(values.rows))
  .map((row, i) => ({ ...row, split: i % 100 === 0 ? ('evaluation' as const) : ('train' as const) }));
const encoderFolder = join(paths.modelsDir, 'all-MiniLM-L6-v2');
const everyMs = Number(values.every) * 1_000;

const pollMs = 5;

type Line = { readonly at: number; readonly phase?: string; readonly step: number; readonly steps: number };
const linesOf = async (spec: JobSpec): Promise<Line[]> =>
  (await readFile(join(spec.workDir, 'progress.jsonl'), 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => line.includes('"phase": "train"'))
    .map((line) => JSON.parse(line) as Line);

type Attempt = {
  readonly submittedMs: number;
  readonly killedMs: number;
  readonly lines: readonly Line[];
  readonly stopped: string | undefined;
};

/** How an attempt's time was spent, and what its end cost: a step was kept if the next attempt goes on behind it. */
function partsOf({ killedMs, lines }: Attempt, next: Attempt | undefined) {
  const [first, last] = [lines[0], lines.at(-1)];
  if (!first || !last) return { keptMs: 0, againMs: 0, seenMs: 0, startMs: 0 };
  // A line is printed at the end of its step.
  const beganMs = first.at - (last.at - first.at) / Math.max(1, last.step - first.step);
  const resumed = next?.lines[0];
  const kept = lines.findLast(({ step }) => step < (resumed?.step ?? Infinity));
  const keptMs = kept ? kept.at - beganMs : 0;
  const nextMs = next?.submittedMs ?? killedMs;
  return { keptMs, againMs: killedMs - beganMs - keptMs, seenMs: nextMs - killedMs, startMs: (resumed?.at ?? nextMs) - nextMs };
}

const folder = await mkdtemp(join(tmpdir(), 'mw-goodput-'));
const { executor, warm } = startExecutor(paths, folder);

/** Every attempt until the last step of the training; the export after it is no part of this. */
async function trained(name: string, killEveryMs: number | null) {
  const options = { method: 'full', epochs: Number(values.epochs) };
  const template = await writeJob({
    folder: join(folder, name),
    model,
    encoderFolder,
    rows,
    options,
    threads: Number(values.threads),
  });
  const key = { tenantId: name, customizationId: '1', run: 1 };
  const attempts: Attempt[] = [];
  for (let attempt = 1; ; attempt += 1) {
    const spec: JobSpec = { ...template, ...key, attempt, workDir: executor.workDir(key, attempt) };
    const submittedMs = Date.now();
    const kill = async (): Promise<void> => {
      let started = '';
      for (; started === ''; await sleep(pollMs)) started = await readFile(join(spec.workDir, 'started'), 'utf8').catch(() => '');
      process.kill(-Number(started.split(' ')[0]), 'SIGKILL');
    };
    const last = Promise.withResolvers<void>();
    const onProgress = ({ phase }: TrainingProgress): void => {
      if (phase === 'evaluate') last.resolve();
    };
    const ended = executor.follow(spec, onProgress, AbortSignal.timeout(3_600_000));
    const timer = Promise.withResolvers<void>();
    const timeout = killEveryMs === null ? null : setTimeout(timer.resolve, killEveryMs);
    await Promise.race([timer.promise, last.promise]);
    if (timeout) clearTimeout(timeout);
    const killedMs = Date.now();
    await kill();
    await ended;
    const lines = await linesOf(spec);
    const stopped = /stopped [\d.]+ s for \d+ checkpoints/.exec(await readFile(join(spec.workDir, 'progress.jsonl'), 'utf8'))?.[0];
    attempts.push({ submittedMs, killedMs, lines, stopped });
    if (lines.some(({ step, steps }) => step === steps)) return attempts;
  }
}

try {
  // The warm trainer is ready before anything is measured.
  await trainJob({
    paths,
    folder: join(folder, 'first'),
    model,
    encoderFolder,
    rows: rows.slice(0, 200),
    options: { method: 'head' },
    executor,
  });
  const [alone] = await trained('undisturbed', null);
  const killed = await trained('killed', everyMs);
  const lines = alone?.lines ?? [];
  const [first, last] = [lines[0], lines.at(-1)];
  if (!alone || !first || !last) throw new Error('the undisturbed training has no steps');
  const stepMs = (last.at - first.at) / (last.step - first.step);
  const end = killed.at(-1)?.lines.at(-1)?.at ?? 0;
  const wallMs = end - (killed[0]?.submittedMs ?? 0);
  const parts = killed.map((attempt, i) => partsOf(attempt, killed[i + 1]));
  const keptMs = parts.reduce((sum, part) => sum + part.keptMs, 0);
  const lost = parts.slice(0, -1);
  const mean = (of: (part: (typeof parts)[number]) => number): string =>
    (lost.reduce((sum, part) => sum + of(part), 0) / Math.max(1, lost.length)).toFixed(0);
  console.log(`${rows.length} rows, ${last.steps} steps of ${stepMs.toFixed(0)} ms undisturbed, ${values.threads} thread(s)`);
  console.log(`undisturbed: ${((last.at - alone.submittedMs) / 1_000).toFixed(1)} s from submitting to the last step; ${alone.stopped}`);
  console.log(`killed ${lost.length} times, every ${values.every} s: ${(wallMs / 1_000).toFixed(1)} s`);
  console.log(
    `goodput: ${((100 * keptMs) / wallMs).toFixed(1)} % (time of steps that were kept / whole time; other work of the machine slows both)`,
  );
  console.log(
    `a kill costs: ${mean(({ seenMs }) => seenMs)} ms until it is seen, ${mean(({ startMs }) => startMs)} ms until the next attempt is at its first step, ${mean(({ againMs }) => againMs)} ms of steps done again`,
  );
} finally {
  await warm.close();
  await rm(folder, { recursive: true, force: true });
}
