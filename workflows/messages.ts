import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { ChangeDigest } from '../core/change-digest.ts';
import type { RunOutcome } from '../core/run.ts';
import type { ApproveSchemaRequest, SchemaChange, SchemaDecided } from '../core/schema-change.ts';
import {
  type AliasesAfter,
  type ActiveRunRequest,
  type ChangesMissed,
  type CustomizationRequest,
  type PauseAnswered,
  type PauseAsked,
  type PromoteRequest,
  type RetrainRequest,
  type RollbackRequest,
  type RunPauseState,
  type TenantPending,
  type TenantStatus,
  messageNames,
} from '../core/tenant-messages.ts';

/** Messages of a tenant workflow. Shapes and meaning: core/tenant-messages.ts. */
export const changesSensed = defineSignal<[ChangeDigest]>(messageNames.changesSensed);
export const changesMissed = defineSignal<[ChangesMissed]>(messageNames.changesMissed);
export const schemaChanged = defineSignal<[SchemaChange]>(messageNames.schemaChanged);
export const runFinished = defineSignal<[RunOutcome]>(messageNames.runFinished);
/** A run's answer to pauseAsked and resumeAsked. */
export const pauseAnswered = defineSignal<[PauseAnswered]>(messageNames.pauseAnswered);
export const retrain = defineSignal<[RetrainRequest]>(messageNames.retrain);
export const pauseCustomization = defineUpdate<void, [CustomizationRequest]>(messageNames.pauseCustomization);
export const resumeCustomization = defineUpdate<void, [CustomizationRequest]>(messageNames.resumeCustomization);
export const cancelRun = defineUpdate<{ readonly run: number }, [ActiveRunRequest]>(messageNames.cancelRun);
export const pauseRun = defineUpdate<RunPauseState, [ActiveRunRequest]>(messageNames.pauseRun);
export const resumeRun = defineUpdate<RunPauseState, [ActiveRunRequest]>(messageNames.resumeRun);
export const promoteModel = defineUpdate<AliasesAfter, [PromoteRequest]>(messageNames.promoteModel);
export const rollbackModel = defineUpdate<AliasesAfter, [RollbackRequest]>(messageNames.rollbackModel);
export const approveSchema = defineUpdate<SchemaDecided, [ApproveSchemaRequest]>(messageNames.approveSchema);
export const getStatus = defineQuery<TenantStatus>(messageNames.getStatus);
export const getPending = defineQuery<TenantPending>(messageNames.getPending);
export const explainWhy = defineQuery<string, [customizationId?: string]>(messageNames.explainWhy);

/** Asked of a training run by its tenant's watchdog: that it can be delivered is the answer. */
export const runAsked = defineSignal('runAsked');
/** Asked of a training run by its tenant, for a person. The run answers with pauseAnswered. */
export const pauseAsked = defineSignal<[PauseAsked]>('pauseAsked');
export const resumeAsked = defineSignal<[PauseAsked]>('resumeAsked');
