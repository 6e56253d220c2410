import type { Catalog } from '../../catalog/catalog.ts';
import type { ForgettingKey } from '../../core/forgetting.ts';
import type { Pool } from '../../platform/mysql.ts';
import type { Signer } from '../../platform/signing-keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { withInfrastructure } from '../infrastructure.ts';
import type { ForgettingActivities } from '../ports.ts';
import { certifyForgetting } from './certify.ts';
import { unendedForgettings } from './forgettings.ts';
import { lookForgetting } from './look.ts';
import { noteFailed, notingFailure } from './note-failure.ts';
import { removeForgotten } from './remove.ts';
import type { KeptElsewhere } from './residuals.ts';
import { withdrawForgotten } from './withdraw.ts';

export type ForgettingDependencies = {
  readonly pool: Pool;
  readonly store: ObjectStore;
  readonly catalog: Catalog;
  readonly maxTextChars: number;
  readonly signer: Signer;
  readonly kept: KeptElsewhere;
  /** Says that the activity lives; throws when it is cancelled. */
  readonly beat: () => void;
};

/** Rows are forgotten, on the task queue `sharding`. */
export function createForgettingActivities(dependencies: ForgettingDependencies): ForgettingActivities {
  const { pool } = dependencies;
  const step = <T>({ tenantId, customizationId, number }: ForgettingKey, work: () => Promise<T>): Promise<T> =>
    notingFailure(pool, { tenantId, customizationId, number }, () => withInfrastructure(work));
  return {
    lookForgetting: (input) => step(input, () => lookForgetting(dependencies, input)),
    withdrawForgotten: (input) => step(input, () => withdrawForgotten(pool, input)),
    removeForgotten: (input) => step(input, () => removeForgotten(dependencies, input)),
    certifyForgetting: (input) => step(input, () => certifyForgetting(dependencies, input)),
    noteForgettingFailed: ({ reason, ...key }) => withInfrastructure(() => noteFailed(pool, key, reason)),
    listForgettings: ({ after, limit }) => withInfrastructure(() => unendedForgettings(pool, after, limit)),
  };
}
