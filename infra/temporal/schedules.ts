import {
  Client,
  type Connection,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type ScheduleOptions,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import { janitorType, storeGcType, storeScrubType, taskQueues, verifyAllType } from '../../core/task-queues.ts';
import type { Config } from '../../platform/config.ts';

export const verifyAllSchedule = 'verify-all';
export const janitorSchedule = 'janitor';
const janitorEvery = '10 minutes';
export const storeGcSchedule = 'store-gc';
const storeGcEvery = '6 hours';
export const storeScrubSchedule = 'store-scrub';
/** A server that was down does not owe the rounds that it missed. */
const catchupWindow = '1 minute';

type WantedSchedule = ScheduleOptions & { readonly action: { readonly type: 'startWorkflow' } };

/** Makes, changes or removes the schedules as the settings say. Repeating it changes nothing. */
export async function prepareSchedules(connection: Connection, config: Pick<Config, 'temporal' | 'settings'>): Promise<void> {
  const { schedule } = new Client({ connection, namespace: config.temporal.namespace });
  const prepare = async (wanted: WantedSchedule): Promise<void> => {
    try {
      await schedule.create(wanted);
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      // What a person has paused stays paused.
      await schedule.getHandle(wanted.scheduleId).update((known) => ({ ...wanted, state: known.state }));
    }
  };
  const remove = async (scheduleId: string): Promise<void> => {
    try {
      await schedule.getHandle(scheduleId).delete();
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
    }
  };
  await prepare({
    scheduleId: janitorSchedule,
    spec: { intervals: [{ every: janitorEvery }] },
    action: {
      type: 'startWorkflow',
      workflowType: janitorType,
      workflowId: janitorSchedule,
      taskQueue: taskQueues.orchestrator,
      args: [],
      staticSummary: 'remove training jobs that no run needs any more',
    },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow },
  });
  await prepare({
    scheduleId: storeGcSchedule,
    spec: { intervals: [{ every: storeGcEvery }] },
    action: {
      type: 'startWorkflow',
      workflowType: storeGcType,
      workflowId: storeGcSchedule,
      taskQueue: taskQueues.orchestrator,
      args: [{ dryRun: false }],
      staticSummary: 'remove from the store what nothing refers to',
    },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow },
  });
  const hours = config.settings.MW_SCRUB_EVERY_HOURS;
  if (hours === 0) await remove(storeScrubSchedule);
  else
    await prepare({
      scheduleId: storeScrubSchedule,
      spec: { intervals: [{ every: `${hours} hours` }] },
      action: {
        type: 'startWorkflow',
        workflowType: storeScrubType,
        workflowId: storeScrubSchedule,
        taskQueue: taskQueues.orchestrator,
        args: [{ everything: false }],
        staticSummary: 'read a share of what is stored and compare its digests',
      },
      policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow },
    });
  const minutes = config.settings.MW_VERIFY_EVERY_MINUTES;
  if (minutes === 0) {
    await remove(verifyAllSchedule);
    return;
  }
  await prepare({
    scheduleId: verifyAllSchedule,
    spec: { intervals: [{ every: `${minutes} minutes` }] },
    action: {
      type: 'startWorkflow',
      workflowType: verifyAllType,
      workflowId: verifyAllSchedule,
      taskQueue: taskQueues.orchestrator,
      args: [{ after: null, totals: { verified: 0, ok: 0, violated: 0, stalled: 0, failed: 0 } }],
      staticSummary: 'compare every table with its last dataset',
    },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow },
  });
}
