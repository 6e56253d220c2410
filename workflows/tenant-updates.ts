import {
  ApplicationFailure,
  condition,
  currentUpdateInfo,
  getExternalWorkflowHandle,
  proxyActivities,
  setHandler,
} from '@temporalio/workflow';
import type { ControlActivities } from '../activities/ports.ts';
import type { CustomizationState } from '../core/customization.ts';
import { runWorkflowId } from '../core/ids.ts';
import { type ApproveSchemaRequest, schemaActions } from '../core/schema-change.ts';
import type { CustomizationRequest, PauseAnswered } from '../core/tenant-messages.ts';
import { controlForPersonOptions } from './activity-options.ts';
import { approveSchema, cancelRun, pauseCustomization, promoteModel, resumeCustomization, rollbackModel } from './messages.ts';
import type { TenantEvent } from './tenant-events.ts';
import { handleRunPauses } from './tenant-run-pauses.ts';
import type { TenantState } from './tenant-state.ts';

/** Who acts when a person sends an update from the Web UI without a name. */
const unnamedActor = 'operator';

/** Updates by people: each awaits its effect in the database, then tells the main loop. */
export function handleUpdates(
  tenantId: string,
  tenant: {
    readonly ready: () => boolean;
    readonly state: () => TenantState;
    readonly enqueue: (event: TenantEvent) => void;
    /** A signal of a run. */
    readonly answered: (answer: PauseAnswered) => void;
    readonly apply: (event: Extract<TenantEvent, { type: 'pauseAnswered' }>) => void;
  },
): void {
  const control = proxyActivities<ControlActivities>(controlForPersonOptions(tenantId));

  const refuseUnknown = (customizationId: unknown): void => {
    if (typeof customizationId !== 'string' || customizationId === '')
      throw ApplicationFailure.nonRetryable('customizationId is missing: send {"customizationId": "..."}', 'BadOptions');
    // Before the tenant is loaded nothing is known to be unknown: the handler asks again.
    if (tenant.ready() && !tenant.state().customizations[customizationId])
      throw ApplicationFailure.nonRetryable(`tenant ${tenantId} has no customization ${customizationId}`, 'CustomizationGone');
  };
  const validator = (request: CustomizationRequest): void => refuseUnknown(request?.customizationId);
  const validAnswer = (request: ApproveSchemaRequest): void => {
    refuseUnknown(request?.customizationId);
    if (!schemaActions.includes(request.action))
      throw ApplicationFailure.nonRetryable(`action is missing: send one of ${schemaActions.join(', ')}`, 'BadOptions');
    if ((request.action === 'remap') !== (request.columns !== undefined || request.table !== undefined))
      throw ApplicationFailure.nonRetryable('columns or table go with action remap, and with no other', 'BadOptions');
  };
  const whenReady = async (customizationId: string): Promise<void> => {
    await condition(tenant.ready);
    refuseUnknown(customizationId);
  };
  const requestKey = (): string => `update/${currentUpdateInfo()?.id ?? ''}`;

  const setState = async (request: CustomizationRequest, state: CustomizationState): Promise<void> => {
    const { customizationId, actor = unnamedActor, reason = null } = request;
    await whenReady(customizationId);
    await control.setCustomizationState({ tenantId, customizationId, state, actor, reason });
    tenant.enqueue({ type: 'stateSet', customizationId, state });
  };
  setHandler(pauseCustomization, (request) => setState(request, 'paused'), { validator });
  setHandler(resumeCustomization, (request) => setState(request, 'active'), { validator });

  setHandler(
    promoteModel,
    async ({ customizationId, version, force = false, reason = null, actor = unnamedActor }) => {
      await whenReady(customizationId);
      const aliases = await control.promoteModel({
        tenantId,
        customizationId,
        requestKey: requestKey(),
        version,
        actor,
        reason,
        force,
        fence: null,
      });
      tenant.enqueue({ type: 'productionSet', customizationId, production: aliases.production });
      return aliases;
    },
    { validator },
  );
  setHandler(
    rollbackModel,
    async ({ customizationId, reason = null, actor = unnamedActor }) => {
      await whenReady(customizationId);
      const aliases = await control.rollbackModel({ tenantId, customizationId, requestKey: requestKey(), actor, reason });
      tenant.enqueue({ type: 'productionSet', customizationId, production: aliases.production });
      return aliases;
    },
    { validator },
  );

  setHandler(
    approveSchema,
    async ({ customizationId, changeId = null, action, columns = null, table = null, reason = null, actor = unnamedActor }) => {
      await whenReady(customizationId);
      const decided = await control.decideSchema({
        tenantId,
        customizationId,
        requestKey: requestKey(),
        changeId,
        action,
        columns,
        table,
        actor,
        reason,
      });
      tenant.enqueue({ type: 'schemaDecided', customizationId, decided });
      return decided;
    },
    { validator: validAnswer },
  );

  setHandler(
    cancelRun,
    async ({ customizationId, run }) => {
      await whenReady(customizationId);
      const activity = tenant.state().customizations[customizationId]?.activity;
      if (activity?.kind !== 'running' || (run !== undefined && activity.run !== run))
        throw ApplicationFailure.nonRetryable(
          `customization ${customizationId} has no ${run === undefined ? 'active run' : `active run ${run}`} to cancel`,
          'BadOptions',
        );
      await getExternalWorkflowHandle(runWorkflowId({ tenantId, customizationId, run: activity.run })).cancel();
      return { run: activity.run };
    },
    { validator },
  );

  handleRunPauses(tenantId, { ...tenant, whenReady, validator, unnamedActor });
}
