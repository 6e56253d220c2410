import type { Client } from '@temporalio/client';
import { tenantWorkflowId } from '../../core/ids.ts';
import { tenantWorkflowType } from '../../core/task-queues.ts';
import { type TenantPending, messageNames } from '../../core/tenant-messages.ts';
import { tenantStart } from '../../core/tenant-start.ts';
import { nowMs } from '../../platform/clock.ts';
import { failure } from '../failure.ts';
import type { TenantWorkflows } from '../verify/tenant-workflows.ts';

/** A query takes milliseconds, a signal that starts a workflow tens of them. */
const queryDeadlineMs = 3_000;
const signalDeadlineMs = 5_000;

export const createTenantWorkflows = (client: Client): TenantWorkflows => ({
  async pending(tenantId) {
    try {
      return await client.withDeadline(nowMs() + queryDeadlineMs, () =>
        client.workflow.getHandle(tenantWorkflowId(tenantId)).query<TenantPending>(messageNames.getPending),
      );
    } catch {
      return null;
    }
  },
  async tellMissed(tenantId, missed) {
    try {
      await client.withDeadline(nowMs() + signalDeadlineMs, () =>
        client.workflow.signalWithStart(tenantWorkflowType, {
          ...tenantStart(tenantId),
          signal: messageNames.changesMissed,
          signalArgs: [missed],
        }),
      );
    } catch (error) {
      throw failure('Unavailable', 'Temporal does not take the signal: see `mw status`', error);
    }
  },
});
