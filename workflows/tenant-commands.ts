import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  getExternalWorkflowHandle,
  isCancellation,
  proxyActivities,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { ControlActivities, DatasetActivities, TrainingActivities } from '../activities/ports.ts';
import { runWorkflowId } from '../core/ids.ts';
import type { RunOutcome } from '../core/run.ts';
import type { SchemaChange } from '../core/schema-change.ts';
import { taskQueues, trainingRunType } from '../core/task-queues.ts';
import { controlOptions, discardOptions, fairly, planOptions } from './activity-options.ts';
import { runAsked } from './messages.ts';
import type { TenantEvent } from './tenant-events.ts';
import type { Command } from './tenant-state.ts';
import type { trainingRun } from './training-run.ts';

/** Carries out what the pure part decided. Results come back as events, at once or later, through `enqueue`. */
export function tenantCommands(tenantId: string, enqueue: (event: TenantEvent) => void): (command: Command) => Promise<void> {
  const control = proxyActivities<ControlActivities>(controlOptions(tenantId));
  const dataset = proxyActivities<DatasetActivities>(planOptions(tenantId));
  const training = proxyActivities<TrainingActivities>(discardOptions(tenantId));
  // Of the whole chain of executions: a retried or reset workflow asks with the keys that it used before.
  const { firstExecutionRunId } = workflowInfo();
  const keyOf = (request: string | number): string => `${firstExecutionRunId}/${request}`;

  async function startRun(command: Extract<Command, { type: 'startRun' }>): Promise<void> {
    const { customizationId, trigger, reason, businessModel, dirtyBuckets, force } = command;
    const { run } = await control.openRun.executeWithOptions({ ...controlOptions(tenantId), summary: `open a run of ${customizationId}` }, [
      { tenantId, customizationId, requestKey: keyOf(command.requestKey), trigger, reason },
    ]);
    try {
      const child = await startChild<typeof trainingRun>(trainingRunType, {
        workflowId: runWorkflowId({ tenantId, customizationId, run }),
        taskQueue: taskQueues.orchestrator,
        args: [{ tenantId, customizationId, run, trigger, reason, businessModel, dirtyBuckets, force }],
        parentClosePolicy: ParentClosePolicy.ABANDON,
        cancellationType: ChildWorkflowCancellationType.ABANDON,
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        priority: fairly(tenantId),
        staticSummary: `${customizationId}: run ${run} (${trigger})`,
        staticDetails: `Builds a dataset, trains **${businessModel}**, and publishes the model if it passes its gate.\n\nReason: ${reason ?? '-'}`,
      });
      enqueue({ type: 'runStarted', customizationId, run, adopted: false });
      // While this execution lives it hears of a run that was terminated; afterwards the watchdog asks.
      void child.result().then(
        (outcome) => enqueue({ type: 'runFinished', outcome }),
        () => enqueue({ type: 'runLost', customizationId, run }),
      );
    } catch (error) {
      if (!(error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError')) throw error;
      enqueue({ type: 'runStarted', customizationId, run, adopted: true });
    }
  }

  /** False if the run's workflow does not exist or has ended. */
  async function runLives(customizationId: string, run: number): Promise<boolean> {
    try {
      await getExternalWorkflowHandle(runWorkflowId({ tenantId, customizationId, run })).signal(runAsked);
      return true;
    } catch (error) {
      if (isCancellation(error)) throw error;
      return false;
    }
  }

  async function checkRun(customizationId: string, run: number): Promise<RunOutcome | null> {
    const key = { tenantId, customizationId, run };
    // Read after the question too: it may have ended in between.
    const outcome = (await control.loadRun(key)) ?? ((await runLives(customizationId, run)) ? null : await control.loadRun(key));
    if (outcome || (await runLives(customizationId, run))) return outcome;
    const reason = 'its workflow was terminated or never started';
    await training.discardTraining({ ...key, keepClaim: false });
    await control.recordRun({ ...key, state: 'failed', reason, failureClass: 'error' });
    const recorded = await control.loadRun(key);
    if (recorded) return recorded;
    return { customizationId, run, state: 'failed', reason, failureClass: null, dataset: null, version: null, trainingMs: 0 };
  }

  async function cancelRun(customizationId: string, run: number): Promise<void> {
    try {
      await getExternalWorkflowHandle(runWorkflowId({ tenantId, customizationId, run })).cancel();
    } catch (error) {
      // A run that has ended needs no cancelling.
      if (isCancellation(error)) throw error;
    }
  }

  return async (command) => {
    const { customizationId } = command;
    switch (command.type) {
      case 'loadCustomization':
        enqueue({
          type: 'customizationLoaded',
          customizationId,
          snapshot: await control.loadCustomization.executeWithOptions(
            { ...controlOptions(tenantId), summary: `read the settings of ${customizationId}` },
            [{ tenantId, customizationId }],
          ),
        });
        return;
      case 'plan':
        try {
          const plan = await dataset.planDataset.executeWithOptions(
            { ...planOptions(tenantId), summary: `compare ${customizationId} with its last dataset` },
            [{ tenantId, customizationId, dirtyBuckets: command.dirtyBuckets }],
          );
          enqueue({ type: 'planned', customizationId, plan });
        } catch (error) {
          if (isCancellation(error)) throw error;
          const held = heldBy(error);
          enqueue({
            type: 'planFailed',
            customizationId,
            ...(held ? { held } : {}),
            reason: `the table could not be compared with the last dataset: ${causeOf(error)}`,
          });
        }
        return;
      case 'startRun':
        try {
          await startRun(command);
        } catch (error) {
          if (isCancellation(error)) throw error;
          enqueue({ type: 'startFailed', customizationId, reason: `a run could not be started: ${causeOf(error)}` });
        }
        return;
      case 'recordDecision': {
        const { kind, reason, cut } = command;
        await control.recordDecision({ tenantId, customizationId, decisionKey: keyOf(command.decision), kind, reason, cut });
        return;
      }
      case 'cancelRun':
        await cancelRun(customizationId, command.run);
        return;
      case 'checkRun':
        enqueue({ type: 'runChecked', customizationId, run: command.run, outcome: await checkRun(customizationId, command.run) });
        return;
    }
  };
}

const causeOf = (error: unknown): string =>
  error instanceof ActivityFailure && error.cause ? error.cause.message : error instanceof Error ? error.message : String(error);

/** The change of structure that an activity refused to read over. */
const heldBy = (error: unknown): SchemaChange | null =>
  error instanceof ActivityFailure && error.cause instanceof ApplicationFailure && error.cause.type === 'SchemaHeld'
    ? ((error.cause.details?.[0] as SchemaChange | undefined) ?? null)
    : null;
