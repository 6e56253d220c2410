import type { Client } from '@temporalio/client';
import { sourceName } from '../../../core/source-mapping.ts';
import { signalMissed } from '../signal-tenant.ts';
import type { Mapping } from './mappings.ts';

/** Has the whole mapped table compared. Told twice, it costs a second comparison. */
export async function announceMapping(client: Client, { tenantId, customizationId, source }: Mapping): Promise<void> {
  const reason = `${sourceName(source)} is captured from now on`;
  await signalMissed(client, tenantId, { customizationIds: [customizationId], reason });
}
