import type { Client } from '@temporalio/client';
import { sourceName } from '../../../core/source-mapping.ts';
import { tenantWorkflowType } from '../../../core/task-queues.ts';
import { type ChangesMissed, messageNames } from '../../../core/tenant-messages.ts';
import { tenantStart } from '../../../core/tenant-start.ts';
import { nowMs } from '../../../platform/clock.ts';
import type { Mapping } from './mappings.ts';

/** An answer takes milliseconds; a server that is going away must not hold the others up. */
const deadlineMs = 5_000;

/** Has the whole mapped table compared. Told twice, it costs a second comparison. */
export async function announceMapping(client: Client, { tenantId, customizationId, source }: Mapping): Promise<void> {
  const missed: ChangesMissed = { customizationIds: [customizationId], reason: `${sourceName(source)} is captured from now on` };
  await client.withDeadline(nowMs() + deadlineMs, () =>
    client.workflow.signalWithStart(tenantWorkflowType, {
      ...tenantStart(tenantId),
      signal: messageNames.changesMissed,
      signalArgs: [missed],
    }),
  );
}
