import { CancellationScope, getExternalWorkflowHandle, isCancellation, proxyActivities, setHandler } from '@temporalio/workflow';
import type { ControlActivities, DatasetActivities, ShardingActivities, TrainingActivities } from '../activities/ports.ts';
import type { DatasetRef } from '../core/dataset.ts';
import type { DirtyBuckets } from '../core/dirty-buckets.ts';
import { type RunKey, tenantWorkflowId, versionName } from '../core/ids.ts';
import { primaryText } from '../core/metrics.ts';
import type { RunOutcome, RunTrigger } from '../core/run.ts';
import {
  buildOptions,
  claimOptions,
  controlOptions,
  discardOptions,
  gateOptions,
  publishOptions,
  shardOptions,
  warmOptions,
} from './activity-options.ts';
import { rootOf } from './failure-of.ts';
import { runAsked, runFinished } from './messages.ts';
import { type RunPauses, runPauses } from './run-pause.ts';
import { type RunProgress, runProgress } from './run-progress.ts';
import { type GpuSeconds, trainStage } from './train-stage.ts';
import { failureClassOf } from './training-remedies.ts';
import { showTo } from './visibility.ts';
import { counted, duration } from './wording.ts';

export type TrainingRunInput = RunKey & {
  readonly trigger: RunTrigger;
  readonly reason: string | null;
  readonly businessModel: string;
  readonly dirtyBuckets: DirtyBuckets | null;
  readonly force: boolean;
};

/** What a run has achieved when it ends, however it ends. */
type Achieved = { dataset: DatasetRef | null; version: number | null; trainingMs: number; readonly gpuSeconds: GpuSeconds };

/** Dataset, training, gate, shards, version, promotion: one run of one customization. Ends well whatever became of it; the outcome says. */
export async function trainingRun(input: TrainingRunInput): Promise<RunOutcome> {
  const { tenantId, customizationId, run, trigger, businessModel } = input;
  const key: RunKey = { tenantId, customizationId, run };
  setHandler(runAsked, () => undefined);
  showTo({ tenantId, customizationId, businessModel, trigger });
  const progress = runProgress(key, `Run ${run} of **${customizationId}** (${trigger}): ${input.reason ?? '-'}`);
  const pauses = runPauses(key);
  const achieved: Achieved = { dataset: null, version: null, trainingMs: 0, gpuSeconds: { total: null } };
  const end = (state: RunOutcome['state'], reason: string | null, failureClass: RunOutcome['failureClass'] = null): RunOutcome => {
    const { dataset, version, trainingMs } = achieved;
    const gpuSeconds = achieved.gpuSeconds.total;
    const cut = dataset && { number: dataset.number, digest: dataset.digest, rows: dataset.rows, cut: dataset.cut };
    const spent = gpuSeconds === null ? {} : { gpuSeconds };
    return { customizationId, run, state, reason, failureClass, dataset: cut, version, trainingMs, ...spent };
  };
  let outcome: RunOutcome;
  try {
    outcome = await runStages(input, progress, pauses, achieved, end);
  } catch (error) {
    // Also a cancellation that came between two stages, and a failure during it: the person asked for the end.
    if (isCancellation(error)) outcome = end('cancelled', 'cancelled on request');
    else {
      const { type, message, timedOut } = rootOf(error);
      const failureClass = failureClassOf(type, timedOut);
      // Nobody's mistake: the rows wait for the next run.
      if (type === 'CustomizationGone') outcome = end('cancelled', message);
      else outcome = end(failureClass === 'budget' ? 'cancelled' : 'failed', message, failureClass);
    }
  }
  await CancellationScope.nonCancellable(async () => {
    await conclude(key, progress, outcome);
    await pauses.end(`${outcome.state}${outcome.reason ? `: ${outcome.reason}` : ''}`);
  });
  return outcome;
}

async function runStages(
  input: TrainingRunInput,
  progress: RunProgress,
  pauses: RunPauses,
  achieved: Achieved,
  end: (state: RunOutcome['state'], reason: string | null) => RunOutcome,
): Promise<RunOutcome> {
  const { tenantId, customizationId, run, dirtyBuckets, force } = input;
  const key: RunKey = { tenantId, customizationId, run };
  const control = proxyActivities<ControlActivities>({ ...controlOptions(tenantId), summary: 'let the version serve' });
  const datasets = proxyActivities<DatasetActivities>({ ...buildOptions(tenantId), summary: 'build the dataset' });
  const gates = proxyActivities<DatasetActivities>({ ...gateOptions(tenantId), summary: 'compare with production' });
  const claims = proxyActivities<TrainingActivities>({ ...claimOptions(tenantId), summary: 'claim the training' });
  const shards = proxyActivities<ShardingActivities>({ ...shardOptions(tenantId), summary: 'shard the model' });
  const publish = proxyActivities<ShardingActivities>({ ...publishOptions(tenantId), summary: 'register the version' });
  const warm = proxyActivities<ShardingActivities>({ ...warmOptions(tenantId), summary: 'load the version before it serves' });

  pauses.enter('dataset');
  await progress.begin('building', 'dataset');
  const dataset = await datasets.buildDataset({ ...key, dirtyBuckets });
  achieved.dataset = dataset;
  const read = `${counted(dataset.rows, 'row')}, ${counted(dataset.bucketsRead, 'bucket')} read, ${dataset.bucketsReused} reused`;
  await progress.end('building', 'dataset', `dataset ${dataset.number}: ${read}`, { datasetNumber: dataset.number });

  pauses.enter(null);
  const { duplicateOf } = await claims.claimTraining({ ...key, dataset, force });
  if (duplicateOf !== null)
    return end(
      'skipped',
      `run ${duplicateOf} has already trained these rows with these options and this trainer; retrain with force to repeat it`,
    );

  pauses.enter('train');
  await progress.begin('training', 'train');
  const { training, attempt } = await trainStage(key, dataset, achieved.gpuSeconds, progress, pauses);
  pauses.enter(null);
  achieved.trainingMs = training.trainingMs;
  await progress.end('training', 'train', `${primaryText(training.metrics)} in ${duration(training.trainingMs)}`, {
    metrics: training.metrics,
    trainingMs: training.trainingMs,
    ...(achieved.gpuSeconds.total === null ? {} : { gpuSeconds: achieved.gpuSeconds.total }),
  });

  pauses.enter('gate');
  await progress.begin('gating', 'gate');
  const verdict = await gates.evaluateGate({ ...key, attempt, dataset, training });
  await progress.end('gating', 'gate', `${verdict.verdict}: ${verdict.explanation}`, { verdict });
  // A rejected candidate is not worth its shards; one on hold is published, so that a person can look at it and promote it.
  if (verdict.verdict === 'reject') return end('rejected', verdict.explanation);

  pauses.enter('shard');
  await progress.begin('sharding', 'shard');
  const sharded = await shards.shardModel({ ...key, attempt, dataset, training, verdict });
  await progress.end('sharding', 'shard', `${sharded.storedBytes} of ${sharded.bytes} bytes were new`);

  // From here to the end of the promotion there is no going back: a cancellation that comes now comes too late.
  return await CancellationScope.nonCancellable(async () => {
    pauses.enter('publish');
    await progress.begin('publishing', 'publish');
    const { version } = await publish.publishModel({ ...key, attempt, dataset, sharded, metrics: training.metrics, verdict });
    achieved.version = version;
    showTo({ modelVersion: versionName(version) });
    if (verdict.verdict === 'hold') {
      await progress.end('publishing', 'publish', `${versionName(version)} as a candidate`, { version });
      return end('rejected', `${versionName(version)} is on hold: ${verdict.explanation}`);
    }
    pauses.enter('promote');
    await warm.warmModel({ tenantId, customizationId, version }).catch(() => ({ warm: false }));
    await control.promoteModel({
      tenantId,
      customizationId,
      requestKey: `run/${run}`,
      version,
      actor: 'gate',
      reason: verdict.explanation,
      force: false,
      fence: { run, attempt },
    });
    await progress.end('publishing', 'publish', `${versionName(version)} serves`, { version });
    return end('succeeded', null);
  });
}

/** Puts the end on record, frees what the run no longer needs, and tells the tenant. */
async function conclude(key: RunKey, progress: RunProgress, outcome: RunOutcome): Promise<void> {
  const { discardTraining } = proxyActivities<TrainingActivities>({ ...discardOptions(key.tenantId), summary: 'free jobs and staging' });
  const trained = outcome.state === 'succeeded' || outcome.state === 'rejected';
  const discard = async (): Promise<void> => {
    // What is left over costs space and nothing else.
    if (outcome.state !== 'skipped') await discardTraining({ ...key, keepClaim: trained }).catch(() => undefined);
  };
  // Of a run that did not train, nothing may be left when its end is told: the next one could meet its job.
  if (!trained) await discard();
  const { state, reason, failureClass, version, gpuSeconds } = outcome;
  await progress.finish(
    { state, reason, failureClass, ...(version === null ? {} : { version }), ...(gpuSeconds === undefined ? {} : { gpuSeconds }) },
    `Run ${key.run} ${state}${reason ? `: ${reason}` : ''}`,
  );
  await getExternalWorkflowHandle(tenantWorkflowId(key.tenantId))
    .signal(runFinished, outcome)
    // A tenant workflow that is gone reads the run's row when it starts again.
    .catch(() => undefined);
  if (trained) await discard();
}
