import type { Client } from '@temporalio/client';
import { tenantWorkflowType } from '../core/task-queues.ts';
import { tenantStart } from '../core/tenant-start.ts';
import { nowMs } from './clock.ts';

/** An answer takes milliseconds; a server that is going away must not hold up whoever tells it something for longer. */
const deadlineMs = 5_000;

/** Gives a signal to the tenant's workflow, which is started if there is none. What it costs to be told twice, the signal says. */
export async function signalTenantWorkflow(client: Client, tenantId: string, signal: string, content: unknown): Promise<void> {
  await client.withDeadline(nowMs() + deadlineMs, () =>
    client.workflow.signalWithStart(tenantWorkflowType, { ...tenantStart(tenantId), signal, signalArgs: [content] }),
  );
}
