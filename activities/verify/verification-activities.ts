import type { Catalog } from '../../catalog/catalog.ts';
import type { VerificationResult } from '../../core/verification.ts';
import type { Pool } from '../../platform/mysql.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { withInfrastructure } from '../infrastructure.ts';
import type { VerificationActivities } from '../ports.ts';
import type { TenantWorkflows } from './tenant-workflows.ts';
import { listCustomizations } from './verification-registry.ts';
import { verifyCustomization } from './verify-customization.ts';

export type VerificationDependencies = {
  readonly pool: Pool;
  readonly store: ObjectStore;
  readonly catalog: Catalog;
  readonly maxTextChars: number;
  readonly tenants: TenantWorkflows;
  readonly metrics: { readonly verified: (result: VerificationResult) => void };
  /** Says that the activity lives; throws when it is cancelled. */
  readonly beat: () => void;
};

/** Comparisons, on the task queue `dataset`. */
export const createVerificationActivities = (dependencies: VerificationDependencies): VerificationActivities => ({
  verifyCustomization: (input) => withInfrastructure(() => verifyCustomization(dependencies, input)),
  listCustomizations: ({ after, limit }) => withInfrastructure(() => listCustomizations(dependencies.pool, after, limit)),
});
