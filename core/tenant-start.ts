import { tenantWorkflowId } from './ids.ts';
import { taskQueues } from './task-queues.ts';

/** Options of `signalWithStart` for a tenant workflow: the same whoever starts it, so that its page in the Web UI always says the same. */
export const tenantStart = (tenantId: string) => ({
  workflowId: tenantWorkflowId(tenantId),
  taskQueue: taskQueues.orchestrator,
  args: [{ tenantId }],
  staticSummary: `Tenant ${tenantId}`,
  staticDetails:
    'Hears of committed changes and starts training runs when the policies say so. The table below says what is pending and why; ' +
    'query `explainWhy` says it in sentences. Signal `retrain` with `{"customizationId": "...", "reason": "..."}` asks for a run; ' +
    'updates: `pauseCustomization`, `resumeCustomization`, `cancelRun`, `pauseRun`, `resumeRun`, `promoteModel`, `rollbackModel`, `approveSchema`.',
  priority: { fairnessKey: tenantId },
});
