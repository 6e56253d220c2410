import type { ActivityOptions } from '@temporalio/workflow';
import { nonRetryableFailureTypes } from '../core/failure-types.ts';
import { taskQueues } from '../core/task-queues.ts';

/** One statement or two against MySQL; a worker that died meanwhile costs this much. */
const controlAttempt = '20 seconds';
/** Activities of the data path tell every few seconds that they live; a worker killed with -9 is noticed after this. */
const heartbeat = '30 seconds';
/** The trainer's first progress line comes after it has loaded its libraries and the base model. */
const trainHeartbeat = '60 seconds';
/** Waits between Temporal's own retries: infrastructure that was away is met again within this time. */
const retry = { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '20 seconds' } as const;
const bounded = { ...retry, nonRetryableErrorTypes: nonRetryableFailureTypes };

/** Tenants get equal shares of every queue. */
export const fairly = (tenantId: string): NonNullable<ActivityOptions['priority']> => ({ fairnessKey: tenantId });

/** Control statements of the tenant workflow: without them nothing goes on, so they are tried until the database is back. */
export const controlOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.orchestrator,
  startToCloseTimeout: controlAttempt,
  retry: bounded,
  priority: fairly(tenantId),
});

/** What a person waits for: an answer within this time, even if it is «not now». */
export const controlForPersonOptions = (tenantId: string): ActivityOptions => ({
  ...controlOptions(tenantId),
  scheduleToCloseTimeout: '60 seconds',
});

export const planOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.dataset,
  startToCloseTimeout: '30 minutes',
  scheduleToCloseTimeout: '1 hour',
  heartbeatTimeout: heartbeat,
  retry: bounded,
  priority: fairly(tenantId),
});

/** A person may wait for it, and the next one comes by the schedule: it is given up after a while. */
export const verifyOptions = (tenantId: string): ActivityOptions => ({
  ...planOptions(tenantId),
  startToCloseTimeout: '2 hours',
  scheduleToCloseTimeout: '3 hours',
});

export const buildOptions = (tenantId: string): ActivityOptions => ({
  ...planOptions(tenantId),
  startToCloseTimeout: '6 hours',
  scheduleToCloseTimeout: '12 hours',
});

export const gateOptions = (tenantId: string): ActivityOptions => planOptions(tenantId);

export const claimOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.trainingControl,
  startToCloseTimeout: '30 seconds',
  scheduleToCloseTimeout: '1 hour',
  retry: bounded,
  priority: fairly(tenantId),
});

/** The workflow itself answers these with another attempt. */
const handledByWorkflow = ['OutOfMemory', 'Preempted', 'Hang'];
const trainEnds = [...nonRetryableFailureTypes, ...handledByWorkflow];
/** Whether a failure of this type ends the attempt; after another one Temporal goes on with the same. */
export const endsTraining = (type: string | null): boolean => type !== null && trainEnds.includes(type);

export const trainOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.training,
  startToCloseTimeout: '24 hours',
  // No small maximumAttempts: every deploy of the worker would burn one.
  scheduleToCloseTimeout: '48 hours',
  heartbeatTimeout: trainHeartbeat,
  retry: { ...retry, nonRetryableErrorTypes: trainEnds },
  priority: fairly(tenantId),
});

/** A job has time for its checkpoint. Without an end: what is said to be paused is stopped, and a worker that is away comes back. */
export const stopForPauseOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.trainingControl,
  startToCloseTimeout: '2 minutes',
  retry: bounded,
  priority: fairly(tenantId),
});

/** Before a cancelled run's job is discarded, which stops it too. */
export const stopForCancelOptions = (tenantId: string): ActivityOptions => ({
  ...stopForPauseOptions(tenantId),
  scheduleToCloseTimeout: '5 minutes',
});

/** The next sweep comes ten minutes after this one, whatever became of it. */
export const sweepOptions = (): ActivityOptions => ({
  taskQueue: taskQueues.trainingControl,
  startToCloseTimeout: '4 minutes',
  scheduleToCloseTimeout: '9 minutes',
  retry: bounded,
});

export const discardOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.trainingControl,
  startToCloseTimeout: '2 minutes',
  scheduleToCloseTimeout: '1 hour',
  retry: bounded,
  priority: fairly(tenantId),
});

export const shardOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.sharding,
  startToCloseTimeout: '2 hours',
  scheduleToCloseTimeout: '6 hours',
  heartbeatTimeout: heartbeat,
  retry: bounded,
  priority: fairly(tenantId),
});

export const publishOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.sharding,
  startToCloseTimeout: '60 seconds',
  scheduleToCloseTimeout: '1 hour',
  retry: bounded,
  priority: fairly(tenantId),
});

/** Warming may fail: promotion waits this long for it and no longer. */
export const warmOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.sharding,
  startToCloseTimeout: '60 seconds',
  scheduleToCloseTimeout: '60 seconds',
  retry: { maximumAttempts: 1 },
  priority: fairly(tenantId),
});

/** Reading everything of one tenant, or of what all share, may take long; the next round comes by the schedule. */
export const storeCareOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.sharding,
  startToCloseTimeout: '6 hours',
  scheduleToCloseTimeout: '12 hours',
  heartbeatTimeout: heartbeat,
  retry: bounded,
  priority: fairly(tenantId),
});

/** One statement or two, or a page of tenants. */
export const storeRoundOptions = (): ActivityOptions => ({
  taskQueue: taskQueues.sharding,
  startToCloseTimeout: '60 seconds',
  scheduleToCloseTimeout: '1 hour',
  retry: bounded,
});

/** What is said of a workflow that fails: it fails all the same where nobody can be told. */
export const lastWordsOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.sharding,
  startToCloseTimeout: controlAttempt,
  scheduleToCloseTimeout: '1 minute',
  retry: bounded,
  priority: fairly(tenantId),
});

/** Looks into datasets that were not looked into before, and changes the registry: tried until the database and the store are back. */
export const forgettingOptions = (tenantId: string): ActivityOptions => ({
  taskQueue: taskQueues.sharding,
  startToCloseTimeout: '2 hours',
  heartbeatTimeout: heartbeat,
  retry: bounded,
  priority: fairly(tenantId),
});
