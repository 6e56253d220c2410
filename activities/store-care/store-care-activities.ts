import type { Pool } from '../../platform/mysql.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { withInfrastructure } from '../infrastructure.ts';
import type { StoreCareActivities } from '../ports.ts';
import { dropVoidLeases } from './leases.ts';
import type { Retention } from './retire-customization.ts';
import { beginRound, endRound } from './rounds.ts';
import { scrubBase, scrubTenant } from './scrub.ts';
import { sweepBase } from './sweep-base.ts';
import { sweepTenant } from './sweep-tenant.ts';
import { listTenants } from './tenants.ts';

export type StoreCareDependencies = {
  readonly pool: Pool;
  readonly store: ObjectStore;
  /** Folders of the base models that are installed here: what they consist of stays, and mends what was damaged. */
  readonly modelsDir: string;
  /** As in publishing (MW_SHARD_BYTES): the shards of installed base models are made by it. */
  readonly shardBytes: number;
  readonly retention: Retention;
  /** Rounds in which everything is read once. */
  readonly scrubRounds: number;
  /** Says that the activity lives; throws when it is cancelled. */
  readonly beat: () => void;
};

/** The care for what is stored, on the task queue `sharding`. */
export const createStoreCareActivities = (dependencies: StoreCareDependencies): StoreCareActivities => {
  const { pool, scrubRounds } = dependencies;
  return {
    beginStoreRound: ({ roundId, kind, everything }) =>
      withInfrastructure(async () => {
        if (kind !== 'scrub') await dropVoidLeases(pool);
        return await beginRound(pool, { roundId, kind, shares: kind === 'scrub' && !everything ? scrubRounds : null });
      }),
    endStoreRound: (input) => withInfrastructure(() => endRound(pool, input)),
    listStoreTenants: ({ after, limit }) => withInfrastructure(() => listTenants(pool, after, limit)),
    sweepTenant: (input) => withInfrastructure(() => sweepTenant(dependencies, input)),
    sweepBase: (input) => withInfrastructure(() => sweepBase(dependencies, input)),
    scrubTenant: (input) => withInfrastructure(() => scrubTenant(dependencies, input)),
    scrubBase: (input) => withInfrastructure(() => scrubBase(dependencies, input)),
  };
};
