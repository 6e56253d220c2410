import type { Catalog } from '../../catalog/catalog.ts';
import type { Pool } from '../../platform/mysql.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { withInfrastructure } from '../infrastructure.ts';
import { evaluateGate } from '../gate/evaluate-gate.ts';
import type { PredictVersion, TimeEncoder } from '../gate/predict-version.ts';
import type { DatasetActivities } from '../ports.ts';
import { datasetsScope, gatesScope, releaseLease, takeLease } from '../store-care/leases.ts';
import { buildDataset } from './build-dataset.ts';
import type { ChangedBuckets } from './changed-buckets.ts';
import { planDataset } from './plan-dataset.ts';

export type DatasetDependencies = {
  readonly pool: Pool;
  readonly store: ObjectStore;
  readonly catalog: Catalog;
  readonly maxTextChars: number;
  /** Folders of encoders: one is chosen for each dataset. */
  readonly modelsDir: string;
  readonly predict: PredictVersion;
  /** Absent where nothing serves: then a gate does not look at how fast a candidate is. */
  readonly timeEncoder?: TimeEncoder;
  /** Absent where nothing senses: then a build reads what its run was started for, and no more. */
  readonly changedBuckets?: ChangedBuckets;
  /** Says that the activity lives; throws when it is cancelled. */
  readonly beat: () => void;
};

/** Activities of the task queue `dataset`. */
export const createDatasetActivities = (dependencies: DatasetDependencies): DatasetActivities => ({
  planDataset: (input) => withInfrastructure(() => planDataset(dependencies, input)),
  buildDataset: (input) =>
    withInfrastructure(async () => {
      const scopes = [datasetsScope(input.tenantId, input.customizationId)];
      await takeLease(dependencies.pool, input, scopes);
      const built = await buildDataset(dependencies, input);
      await releaseLease(dependencies.pool, input, scopes);
      return built;
    }),
  evaluateGate: (input) =>
    withInfrastructure(async () => {
      // Until the run has ended: its record refers to the details, and its version.
      await takeLease(dependencies.pool, input, [gatesScope(input.tenantId, input.customizationId)]);
      return await evaluateGate(dependencies, input);
    }),
});
