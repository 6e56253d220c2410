import {
  Client,
  type Connection,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type ScheduleOptions,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import { forgettingsType, janitorType, storeGcType, storeScrubType, taskQueues, verifyAllType } from '../../core/task-queues.ts';
import type { Config, Settings } from '../../platform/config.ts';

export const verifyAllSchedule = 'verify-all';
export const janitorSchedule = 'janitor';
const janitorEvery = '10 minutes';
export const forgettingsSchedule = 'forgettings';
const forgettingsEvery = '5 minutes';
export const storeGcSchedule = 'store-gc';
const storeGcEvery = '6 hours';
export const storeScrubSchedule = 'store-scrub';
/** A server that was down does not owe the rounds that it missed. */
const catchupWindow = '1 minute';

type WantedSchedule = {
  /** Also the workflow's id. */
  readonly id: string;
  readonly type: string;
  /** Null: only on demand. */
  readonly every: `${number} ${'minutes' | 'hours'}` | null;
  readonly args: unknown[];
  readonly staticSummary: string;
};

const wantedSchedules = ({ MW_SCRUB_EVERY_HOURS: hours, MW_VERIFY_EVERY_MINUTES: minutes }: Settings): readonly WantedSchedule[] => [
  {
    id: janitorSchedule,
    type: janitorType,
    every: janitorEvery,
    args: [],
    staticSummary: 'remove training jobs that no run needs any more',
  },
  {
    id: forgettingsSchedule,
    type: forgettingsType,
    every: forgettingsEvery,
    args: [],
    staticSummary: 'begin forgettings again that are not done and have no workflow',
  },
  {
    id: storeGcSchedule,
    type: storeGcType,
    every: storeGcEvery,
    args: [{ dryRun: false }],
    staticSummary: 'remove from the store what nothing refers to',
  },
  {
    id: storeScrubSchedule,
    type: storeScrubType,
    every: hours === 0 ? null : `${hours} hours`,
    args: [{ everything: false }],
    staticSummary: 'read a share of what is stored and compare its digests',
  },
  {
    id: verifyAllSchedule,
    type: verifyAllType,
    every: minutes === 0 ? null : `${minutes} minutes`,
    args: [{ after: null, totals: { verified: 0, ok: 0, violated: 0, stalled: 0, failed: 0 } }],
    staticSummary: 'compare every table with its last dataset',
  },
];

/** Makes, changes or removes the schedules as the settings say. Repeating it changes nothing. */
export async function prepareSchedules(connection: Connection, config: Pick<Config, 'temporal' | 'settings'>): Promise<void> {
  const { schedule } = new Client({ connection, namespace: config.temporal.namespace });
  for (const { id, type, every, args, staticSummary } of wantedSchedules(config.settings)) {
    if (every === null) {
      try {
        await schedule.getHandle(id).delete();
      } catch (error) {
        if (!(error instanceof ScheduleNotFoundError)) throw error;
      }
      continue;
    }
    const wanted: ScheduleOptions & { readonly action: { readonly type: 'startWorkflow' } } = {
      scheduleId: id,
      spec: { intervals: [{ every }] },
      action: { type: 'startWorkflow', workflowType: type, workflowId: id, taskQueue: taskQueues.orchestrator, args, staticSummary },
      policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow },
    };
    try {
      await schedule.create(wanted);
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      // What a person has paused stays paused.
      await schedule.getHandle(id).update((known) => ({ ...wanted, state: known.state }));
    }
  }
}
