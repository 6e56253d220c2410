import type { Catalog } from '../../catalog/catalog.ts';
import type { Pool } from '../../platform/mysql.ts';
import type { PredictorClient } from '../../platform/predictor-client.ts';
import type { Signer } from '../../platform/signing-keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { withInfrastructure } from '../infrastructure.ts';
import type { ShardingActivities } from '../ports.ts';
import { baseScope, modelsScope, sweepMark, takeLease } from '../store-care/leases.ts';
import { withinQuota } from '../store-care/quota-guard.ts';
import { checkStored } from './check-stored.ts';
import { publishModel } from './publish-model.ts';
import type { Beat } from './store-tensors.ts';
import { shardModel } from './shard-model.ts';

export type ShardingDependencies = {
  readonly pool: Pool;
  readonly store: ObjectStore;
  readonly catalog: Catalog;
  readonly modelsDir: string;
  readonly predictor: PredictorClient;
  /** Signs manifests. */
  readonly signer: Signer;
  /** About how large shards are. */
  readonly shardBytes: number;
  readonly beat: Beat;
};

/** Activities of the task queue `sharding`. */
export const createShardingActivities = (dependencies: ShardingDependencies): ShardingActivities => ({
  shardModel: (input) =>
    withInfrastructure(async () => {
      const { pool, store } = dependencies;
      await takeLease(pool, input, [modelsScope(input.tenantId), baseScope]);
      return await withinQuota(pool, store, input.tenantId, (guarded) => shardModel({ ...dependencies, store: guarded }, input));
    }),
  publishModel: (input) =>
    withInfrastructure(async () => {
      await checkStored(dependencies.store, input.sharded.manifest, await sweepMark(dependencies.pool));
      return await publishModel(dependencies.pool, input);
    }),
  warmModel: async ({ tenantId, customizationId, version }) => {
    try {
      await dependencies.predictor.warm({ tenantId, customizationId, version });
      return { warm: true };
    } catch {
      // A predictor that is away loads the version when it is asked for it.
      return { warm: false };
    }
  },
});
