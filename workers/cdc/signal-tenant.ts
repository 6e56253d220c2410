import type { Client } from '@temporalio/client';
import type { ChangeDigest } from '../../core/change-digest.ts';
import { tenantWorkflowType } from '../../core/task-queues.ts';
import { type ChangesMissed, messageNames } from '../../core/tenant-messages.ts';
import { tenantStart } from '../../core/tenant-start.ts';
import { nowMs } from '../../platform/clock.ts';

/** An answer takes milliseconds; a server that is going away must not hold a digest longer than this. */
const deadlineMs = 5_000;

/** Gives the digest to the tenant's workflow, which is started if there is none. Told twice, it counts once (watermarks). */
export async function signalTenant(client: Client, digest: ChangeDigest): Promise<void> {
  await client.withDeadline(nowMs() + deadlineMs, () =>
    client.workflow.signalWithStart(tenantWorkflowType, {
      ...tenantStart(digest.tenantId),
      signal: messageNames.changesSensed,
      signalArgs: [digest],
    }),
  );
}

/** Has the tenant's workflow compare tables, because changes of them may never come. Told twice, it costs a second comparison. */
export async function signalMissed(client: Client, tenantId: string, missed: ChangesMissed): Promise<void> {
  await client.withDeadline(nowMs() + deadlineMs, () =>
    client.workflow.signalWithStart(tenantWorkflowType, {
      ...tenantStart(tenantId),
      signal: messageNames.changesMissed,
      signalArgs: [missed],
    }),
  );
}
