import { ApplicationFailure, type Client, WithStartWorkflowOperation, WorkflowUpdateFailedError } from '@temporalio/client';
import { tenantWorkflowType } from '../core/task-queues.ts';
import { tenantWorkflowId } from '../core/ids.ts';
import { type RetrainRequest, type TenantStatus, messageNames } from '../core/tenant-messages.ts';
import { tenantStart } from '../core/tenant-start.ts';
import { nowMs, sleep } from '../platform/clock.ts';
import { signalTenantWorkflow } from '../platform/tenant-signal.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problems.ts';

/** A person waits: what does not answer within this time is away. */
const updateDeadlineMs = 30_000;
/** A job has time for its checkpoint: longer than the workflow itself waits for it. */
export const pauseDeadlineMs = 100_000;
const queryDeadlineMs = 3_000;

const unavailable = (error: unknown): Problem =>
  new Problem('temporal_unavailable', undefined, error instanceof Problem ? error.errors : []);

/** The tenant's workflow, as the API speaks to it: the explicit acts of people. */
export const retrain = async ({ temporal }: ApiContext, tenantId: string, request: RetrainRequest): Promise<void> => {
  try {
    await signalTenantWorkflow(temporal, tenantId, messageNames.retrain, request);
  } catch (error) {
    throw unavailable(error);
  }
};

/** An update; the workflow's refusals become problems with its own words. Key: updateId. */
export async function update<T>(
  { temporal }: ApiContext,
  tenantId: string,
  name: string,
  request: unknown,
  updateId: string,
  deadlineMs = updateDeadlineMs,
): Promise<T> {
  const startWorkflowOperation = new WithStartWorkflowOperation(tenantWorkflowType, {
    ...tenantStart(tenantId),
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
  try {
    return (await temporal.withDeadline(nowMs() + deadlineMs, () =>
      temporal.workflow.executeUpdateWithStart(name, { args: [request], updateId, startWorkflowOperation }),
    )) as T;
  } catch (error) {
    const cause = error instanceof WorkflowUpdateFailedError ? rootOf(error.cause) : null;
    if (!cause) throw unavailable(error);
    if (cause.type === 'CustomizationGone') throw new Problem('not_found', cause.message);
    if (cause.type === 'Unavailable') throw new Problem('database_unavailable', cause.message);
    throw new Problem('refused', cause.message);
  }
}

function rootOf(error: unknown): { readonly type: string; readonly message: string } {
  let current = error;
  while (current instanceof Error && !(current instanceof ApplicationFailure) && current.cause) current = current.cause;
  const type = current instanceof ApplicationFailure ? (current.type ?? '') : '';
  return { type, message: current instanceof Error ? current.message : String(current) };
}

/** Null when Temporal or its worker does not answer, or the tenant has no workflow yet. */
export async function tenantStatus({ temporal }: ApiContext, tenantId: string): Promise<TenantStatus | null> {
  try {
    return await temporal.withDeadline(nowMs() + queryDeadlineMs, () =>
      temporal.workflow.getHandle(tenantWorkflowId(tenantId)).query<TenantStatus>(messageNames.getStatus),
    );
  } catch {
    return null;
  }
}

/** Null when the answer is not there within the deadline; whatever is waited for is given up then. */
export async function withinDeadline<T>(temporal: Client, deadlineMs: number, ask: () => Promise<T>): Promise<T | null> {
  const controller = new AbortController();
  const answer = temporal.withAbortSignal(controller.signal, ask);
  try {
    return await Promise.race([answer, sleep(deadlineMs, null, { signal: controller.signal })]);
  } finally {
    controller.abort();
    answer.catch(() => undefined);
  }
}
