import type { Catalog } from '../../catalog/catalog.ts';
import type { Pool } from '../../platform/mysql.ts';
import type { Signer } from '../../platform/signing-keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { withInfrastructure } from '../infrastructure.ts';
import type { ForgettingActivities } from '../ports.ts';
import { certifyForgetting } from './certify.ts';
import { unendedForgettings } from './forgettings.ts';
import { lookForgetting } from './look.ts';
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
export const createForgettingActivities = (dependencies: ForgettingDependencies): ForgettingActivities => ({
  lookForgetting: (input) => withInfrastructure(() => lookForgetting(dependencies, input)),
  withdrawForgotten: (input) => withInfrastructure(() => withdrawForgotten(dependencies.pool, input)),
  removeForgotten: (input) => withInfrastructure(() => removeForgotten(dependencies, input)),
  certifyForgetting: (input) => withInfrastructure(() => certifyForgetting(dependencies, input)),
  listForgettings: ({ after, limit }) => withInfrastructure(() => unendedForgettings(dependencies.pool, after, limit)),
});
