import type { FailureType } from '../../core/failure-types.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import type { TrainingProgress } from '../../core/run.ts';
import { nowMs } from '../../platform/clock.ts';
import { stagingKey } from '../../store/keys.ts';
import { addressesOf } from '../../store/object-store.ts';
import { readManifest } from '../dataset/dataset-registry.ts';
import { failure } from '../failure.ts';
import { measureAnswers, readAnswers, worstLabels } from '../gate/answers-file.ts';
import type { TrainingActivities, TrainingFailureDetail, TrainingRef } from '../ports.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { baseModelOf } from './base-model.ts';
import { bringPushedBase } from './bring-base.ts';
import { watchBudget } from './budget-watch.ts';
import { completeClaim } from './claims.ts';
import { type JobClass, type JobEnd, type JobSpec, addressSeconds } from './executor.ts';
import { jobText } from './job-text.ts';
import { type TrainingDependencies, trainerDigest } from './training-activities.ts';

/** The run's row shows progress at most this often. */
const rowEveryMs = 1_000;
/** A sign of life while the trainer says nothing, such as while it loads its libraries. */
const beatEveryMs = 5_000;
const stagedFiles = ['model.safetensors', 'eval.jsonl', 'answering.json', 'encoder.onnx', 'result.json'];
/** Ids of rows that a failure names. */
const maxNamedRows = 20;

const failureOf: Readonly<Record<Exclude<JobClass, 'ok'>, FailureType>> = {
  invalid_data: 'InvalidData',
  bad_options: 'BadOptions',
  out_of_memory: 'OutOfMemory',
  diverged: 'Diverged',
  storage: 'Unavailable',
  preempted: 'Preempted',
  error: 'TrainingFailed',
};

/** Creates or adopts the job of (run, attempt) and follows it to its end. Key: job name. */
export async function train(dependencies: TrainingDependencies, input: Parameters<TrainingActivities['train']>[0]): Promise<TrainingRef> {
  const { pool, store, addresses, catalog, executor, modelsDir, trainerSource } = dependencies;
  const { beat, signal, cancelled } = dependencies.activity();
  const { dataset, attempt, overrides } = input;
  const settings = await loadTrainingSettings(pool, catalog, input);
  const manifest = await readManifest(store, dataset.manifest);
  const bring = bringPushedBase({ pool, store, modelsDir, beat: () => beat(null) });
  const base = await baseModelOf(modelsDir, settings.options, manifest, settings.model.base, bring);
  const { trainerFile, basePath, largerTier, host } = await executor.provide({
    key: input,
    attempt,
    tier: typeof settings.options['resourceTier'] === 'string' ? settings.options['resourceTier'] : settings.model.resources.tier,
    tierRaises: overrides.tierRaises ?? 0,
    trainerFile: settings.model.trainerFile,
    base,
  });
  const staged = await Promise.all(
    stagedFiles.map(async (file) => [file, await addressesOf(addresses, 'put', stagingKey(input, attempt, file), addressSeconds)] as const),
  );
  const spec: JobSpec = {
    jobName: jobText(input, attempt),
    tenantId: input.tenantId,
    customizationId: input.customizationId,
    run: input.run,
    attempt,
    businessModel: { id: settings.model.id, version: settings.model.version, trainerFile },
    dataset: {
      digest: dataset.digest,
      rows: dataset.rows,
      buckets: await Promise.all(
        manifest.buckets.map(async ({ index, ref, rows }) => ({
          index,
          ...(await addressesOf(addresses, 'get', ref.key, addressSeconds)),
          sha256: ref.sha256,
          bytes: ref.bytes,
          rows,
        })),
      ),
    },
    baseModel: { name: base.name, path: basePath, digest: base.digest },
    options: settings.options,
    overrides: { batchDivisor: overrides.batchDivisor, learningRateDivisor: overrides.learningRateDivisor },
    seed: Number(settings.options['seed'] ?? 7),
    ...host,
    outputs: Object.fromEntries(staged.map(([file, { url }]) => [file, url])),
    otherOutputs: Object.fromEntries(staged.map(([file, { otherUrls }]) => [file, otherUrls])),
    workDir: executor.workDir(input, attempt),
    cacheDir: executor.cacheDir(input),
  };

  let last = null as TrainingProgress | null;
  /** Empty where no GPU was used. */
  const used = (): TrainingFailureDetail => ((last?.job?.gpus ?? 0) > 0 ? { gpuSeconds: last?.job?.gpuSeconds ?? 0 } : {});
  let written = null as TrainingProgress | null;
  let writtenAtMs = 0;
  let writing: Promise<unknown> = Promise.resolve();
  const write = (progress: TrainingProgress): void => {
    [written, writtenAtMs] = [progress, nowMs()];
    // What people see of the progress is worth no failure.
    writing = pool
      .query('UPDATE modelwright_control.runs SET progress = ? WHERE tenant_id = ? AND customization_id = ? AND number = ?', [
        JSON.stringify(progress),
        input.tenantId,
        input.customizationId,
        input.run,
      ])
      .catch(() => undefined);
  };
  const show = (progress: TrainingProgress): void => {
    last = progress;
    beat(progress);
    if (nowMs() - writtenAtMs >= rowEveryMs) write(progress);
  };
  beat(null);
  const alive = setInterval(() => beat(last), beatEveryMs);
  // What came within the second is written when it is over: nothing newer may follow for long.
  const settled = setInterval(() => {
    if (last !== null && last !== written) write(last);
  }, rowEveryMs);
  const budget = watchBudget(pool, input.tenantId, () => (last?.job?.gpus ?? 0) > 0);
  const failed = (type: FailureType, message: string, more: TrainingFailureDetail = {}): Error =>
    failure(type, message, undefined, [{ ...used(), ...more } satisfies TrainingFailureDetail]);
  let end: JobEnd;
  try {
    end = await executor.follow(spec, show, AbortSignal.any([signal, budget.signal]));
  } catch (error) {
    if (cancelled()) await executor.stop(input, attempt);
    else if (budget.signal.aborted && !signal.aborted) {
      await executor.stop(input, attempt);
      throw failed(
        'BudgetSpent',
        "the tenant's GPU seconds of 24 hours are used up (its quota gpuSecondsPerDay): the training was stopped with a checkpoint, and its changes wait",
      );
    }
    throw error;
  } finally {
    budget.close();
    clearInterval(alive);
    clearInterval(settled);
    await writing;
  }
  const gpuSeconds = used();
  if (end.kind === 'killed') throw failed('Preempted', end.detail);
  if (end.kind === 'hang') throw failed('Hang', end.detail);
  const { result } = end;
  if (result.class !== 'ok') {
    const rows = result.rows?.length ? ` (examples ${result.rows.slice(0, maxNamedRows).join(', ')})` : '';
    throw failed(failureOf[result.class], `${result.message}${rows}`, { largerTier });
  }
  const files: Record<string, ObjectRef> = {};
  for (const { name, sha256, bytes } of result.files) {
    const key = stagingKey(input, attempt, name);
    const stored = await store.size(key);
    if (stored !== bytes) throw failure('Corrupt', `staged ${name} has ${stored ?? 'no'} bytes, the trainer wrote ${bytes}`);
    files[name] = { bucket: store.bucket, key, sha256, bytes };
    // The job has written it by an address, and so to one site: the training need not be repeated if that one is lost.
    await store.spread?.(files[name]);
  }
  const measured = measureAnswers(settings.model, await readAnswers(store, files));
  await completeClaim(pool, input);
  return {
    jobName: spec.jobName,
    trainerDigest: trainerDigest(trainerSource, settings.model, base),
    optionsDigest: settings.optionsDigest,
    files,
    metrics: { ...measured, perLabel: worstLabels(measured.perLabel, ({ f1 }) => f1), rows: result.rows },
    labels: result.labels.length,
    encoder: result.encoder,
    trainingMs: result.trainMs,
    ...(gpuSeconds.gpuSeconds === undefined ? {} : { gpuSeconds: gpuSeconds.gpuSeconds }),
  };
}
