import type { ChangesMissed, TenantPending } from '../../core/tenant-messages.ts';

/** Tenant workflows as a comparison needs them. */
export type TenantWorkflows = {
  /** Null when Temporal or its worker does not answer now, or the tenant has no workflow yet. */
  pending(tenantId: string): Promise<TenantPending | null>;
  /** Tells that changes were missed; starts the workflow if there is none. Told twice, it costs a second comparison. */
  tellMissed(tenantId: string, missed: ChangesMissed): Promise<void>;
};
