import type { BusinessModel, Catalog } from '../../catalog/catalog.ts';
import type { TrainingProgress } from '../../core/run.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool } from '../../platform/mysql.ts';
import { runPrefix } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { withInfrastructure } from '../infrastructure.ts';
import type { TrainingActivities } from '../ports.ts';
import { readManifest } from '../dataset/dataset-registry.ts';
import { gpuSecondsShown } from '../registry/gpu-use.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { type BaseModel, baseModelOf } from './base-model.ts';
import { bringPushedBase } from './bring-base.ts';
import { claim, releaseClaim } from './claims.ts';
import type { TrainingExecutor } from './executor.ts';
import { forgetTraining } from './forget-training.ts';
import { sweepJobs } from './sweep-jobs.ts';
import { train } from './train.ts';

export type TrainingDependencies = {
  readonly pool: Pool;
  readonly store: ObjectStore;
  /** The store's addresses as jobs see it. */
  readonly addresses: Pick<ObjectStore, 'presignGet' | 'presignPut' | 'presignAll'>;
  readonly catalog: Catalog;
  readonly executor: TrainingExecutor;
  readonly modelsDir: string;
  /** Digest of the trainer's sources and libraries. */
  readonly trainerSource: string;
  readonly activity: () => {
    /** Says that the activity lives, and how far it is. */
    readonly beat: (progress: TrainingProgress | null) => void;
    /** Aborts when the run is cancelled, and when this worker stops. */
    readonly signal: AbortSignal;
    /** Whether it is the run that was cancelled, and not the worker that stops. */
    readonly cancelled: () => boolean;
  };
};

/** The digest that stands for «what trains»: sources, libraries, the business model's own trainer, and the encoder that it starts from. */
export const trainerDigest = (source: string, model: Pick<BusinessModel, 'trainerDigest'>, base: BaseModel): string =>
  sha256Hex(`${source}\n${model.trainerDigest}\n${JSON.stringify(base.sha256)}`);

/** `train`, on the task queue `training`: as many at once as the worker has slots. */
export const createTrainActivity = (dependencies: TrainingDependencies): Pick<TrainingActivities, 'train'> => ({
  train: (input) => withInfrastructure(() => train(dependencies, input)),
});

/** The short ones, on a task queue of their own: a long training must not make them wait. */
export const createTrainingControl = ({
  pool,
  store,
  catalog,
  executor,
  modelsDir,
  trainerSource,
  activity,
}: TrainingDependencies): Omit<TrainingActivities, 'train'> => ({
  claimTraining: (input) =>
    withInfrastructure(async () => {
      const settings = await loadTrainingSettings(pool, catalog, input);
      const bring = bringPushedBase({ pool, store, modelsDir, beat: () => activity().beat(null) });
      const manifest = await readManifest(store, input.dataset.manifest);
      const base = await baseModelOf(modelsDir, settings.options, manifest, settings.model.base, bring);
      const digests = {
        dataset: input.dataset.digest,
        options: settings.optionsDigest,
        trainer: trainerDigest(trainerSource, settings.model, base),
      };
      return { duplicateOf: await claim(pool, input, digests, input.force) };
    }),
  stopTraining: (input) =>
    withInfrastructure(async () => {
      const stopped = await executor.stop(input, input.attempt);
      // Another worker may have stopped it first: what its progress told last is the best that is left.
      return stopped.gpuSeconds === undefined ? await gpuSecondsShown(pool, input) : stopped;
    }),
  forgetTraining: (input) => withInfrastructure(() => forgetTraining(pool, executor, input)),
  sweepJobs: () => withInfrastructure(() => sweepJobs(pool, executor, () => activity().beat(null))),
  discardTraining: (input) =>
    withInfrastructure(async () => {
      await executor.stop(input);
      await executor.discard(input);
      const staged: string[] = [];
      for await (const { key } of store.list(runPrefix(input))) staged.push(key);
      await store.delete(staged);
      if (!input.keepClaim) await releaseClaim(pool, input);
    }),
});
