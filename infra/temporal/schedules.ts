import {
  Client,
  type Connection,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type ScheduleOptions,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import { taskQueues, verifyAllType } from '../../core/task-queues.ts';
import type { Config } from '../../platform/config.ts';

export const verifyAllSchedule = 'verify-all';
/** A server that was down does not owe the comparisons that it missed. */
const catchupWindow = '1 minute';

/** Makes, changes or removes the schedules as the settings say. Repeating it changes nothing. */
export async function prepareSchedules(connection: Connection, config: Pick<Config, 'temporal' | 'settings'>): Promise<void> {
  const { schedule } = new Client({ connection, namespace: config.temporal.namespace });
  const minutes = config.settings.MW_VERIFY_EVERY_MINUTES;
  if (minutes === 0) {
    try {
      await schedule.getHandle(verifyAllSchedule).delete();
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
    }
    return;
  }
  const wanted = {
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
  } as const satisfies ScheduleOptions;
  try {
    await schedule.create(wanted);
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    // What a person has paused stays paused.
    await schedule.getHandle(verifyAllSchedule).update((known) => ({ ...wanted, state: known.state }));
  }
}
