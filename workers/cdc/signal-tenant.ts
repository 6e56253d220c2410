import type { Client } from '@temporalio/client';
import type { ChangeDigest } from '../../core/change-digest.ts';
import type { SchemaChange } from '../../core/schema-change.ts';
import { type ChangesMissed, messageNames } from '../../core/tenant-messages.ts';
import { signalTenantWorkflow } from '../../platform/tenant-signal.ts';

/** Gives the digest to the tenant's workflow. Told twice, it counts once (watermarks). */
export const signalTenant = (client: Client, digest: ChangeDigest): Promise<void> =>
  signalTenantWorkflow(client, digest.tenantId, messageNames.changesSensed, digest);

/** Has the tenant's workflow compare tables, because changes of them may never come. Told twice, it costs a second comparison. */
export const signalMissed = (client: Client, tenantId: string, missed: ChangesMissed): Promise<void> =>
  signalTenantWorkflow(client, tenantId, messageNames.changesMissed, missed);

/** Told twice, it counts once (changeId). */
export const signalSchemaChanged = (client: Client, tenantId: string, change: SchemaChange): Promise<void> =>
  signalTenantWorkflow(client, tenantId, messageNames.schemaChanged, change);
