import type { Client } from '@temporalio/client';
import { tenantWorkflowId } from '../../core/ids.ts';
import { type TenantPending, messageNames } from '../../core/tenant-messages.ts';
import { nowMs } from '../../platform/clock.ts';
import { signalTenantWorkflow } from '../../platform/tenant-signal.ts';
import { failure } from '../failure.ts';
import type { TenantWorkflows } from '../verify/tenant-workflows.ts';

/** A query takes milliseconds. */
const queryDeadlineMs = 3_000;

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
      await signalTenantWorkflow(client, tenantId, messageNames.changesMissed, missed);
    } catch (error) {
      throw failure('Unavailable', 'Temporal does not take the signal: see `mw status`', error);
    }
  },
});
