import {
  ContinueAsNew,
  ParentClosePolicy,
  WorkflowIdReusePolicy,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { ControlActivities, ForgettingActivities, TrainingActivities } from '../activities/ports.ts';
import type { ForgettingKey } from '../core/forgetting.ts';
import { forgetWorkflowId, runWorkflowId, tenantWorkflowId } from '../core/ids.ts';
import {
  controlOptions,
  discardOptions,
  fairly,
  forgettingOptions,
  lastWordsOptions,
  storeCareOptions,
  storeRoundOptions,
} from './activity-options.ts';
import { rootOf } from './failure-of.ts';
import { changesMissed } from './messages.ts';
import { showTo } from './visibility.ts';

/** What it waits for mostly comes within seconds, or not for hours. */
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;
const pageSize = 50;

/** Forgets rows; one that fails says so in the state of the request, and is begun again by the schedule `forgettings`. */
export async function forget(key: ForgettingKey): Promise<void> {
  try {
    await forgetting(key);
  } catch (error) {
    if (error instanceof ContinueAsNew || isCancellation(error)) throw error;
    const { noteForgettingFailed } = proxyActivities<ForgettingActivities>(lastWordsOptions(key.tenantId));
    const { type, message, timedOut, activity } = rootOf(error);
    const reason =
      timedOut && activity !== null
        ? `nobody did ${activity} in time: see \`mw status\` whether all workers run`
        : type === null
          ? 'an error that is not expected: see its workflow in the Temporal Web UI'
          : message;
    await orGone(() => noteForgettingFailed({ ...key, reason }));
    throw error;
  }
}

/** Waits until something without them serves, withdraws and removes what learned them, searches for what is left, and issues the certificate. */
async function forgetting(key: ForgettingKey): Promise<void> {
  const { tenantId, customizationId, number } = key;
  showTo({ tenantId, customizationId });
  const short = proxyActivities<ForgettingActivities>(forgettingOptions(tenantId));
  const long = proxyActivities<ForgettingActivities>({
    ...storeCareOptions(tenantId),
    summary: `forgetting ${number} of ${customizationId}`,
  });
  const training = proxyActivities<TrainingActivities>(discardOptions(tenantId));
  const control = proxyActivities<ControlActivities>(controlOptions(tenantId));
  let pauseMs = firstPauseMs;
  const pause = async (waitsFor: readonly string[]): Promise<void> => {
    setCurrentDetails([`Forgetting ${number} of **${customizationId}** waits:`, ...waitsFor.map((what) => `- ${what}`)].join('\n'));
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof forget>(key);
    await sleep(pauseMs);
    pauseMs = Math.min(pauseMs * 1.5, longestPauseMs);
  };
  for (;;) {
    const step = await short.lookForgetting(key);
    if (step.next === 'done') return;
    if (step.next === 'wait') {
      for (const run of step.cancelRuns)
        await orGone(() => getExternalWorkflowHandle(runWorkflowId({ tenantId, customizationId, run })).cancel());
      await pause(step.waitsFor);
      continue;
    }
    if (step.next === 'promote') {
      const requestKey = `forget/${number}/v${step.version}`;
      const reason = `it learned exactly the rows that are left: forgetting ${number}`;
      await control.promoteModel({ ...key, requestKey, version: step.version, actor: 'forget', reason, force: false, fence: null });
      await compare(key);
      await pause([`v${step.version} to serve`]);
      continue;
    }
    if (step.next === 'withdraw') {
      const { compare: wanted } = await short.withdrawForgotten(key);
      if (wanted) await compare(key);
      await pause(['what was withdrawn to be seen']);
      continue;
    }
    const removed = await long.removeForgotten(key);
    await training.forgetTraining({ tenantId, customizationId });
    const { waitsFor } = removed.waitsFor.length > 0 ? removed : await long.certifyForgetting({ ...key, runs: removed.runs });
    if (waitsFor.length > 0) await pause(waitsFor);
    else setCurrentDetails(`Forgetting ${number} of **${customizationId}** is done: its certificate is issued.`);
  }
}

/** What served is another now, or the dataset that changes were counted from is gone: the tenant's workflow looks again at everything. */
async function compare({ tenantId, customizationId, number }: ForgettingKey): Promise<void> {
  const reason = `rows of ${customizationId} are forgotten (forgetting ${number})`;
  await orGone(() =>
    getExternalWorkflowHandle(tenantWorkflowId(tenantId)).signal(changesMissed, {
      customizationIds: [customizationId],
      settingsIds: [customizationId],
      reason,
    }),
  );
}

/** A workflow that is not there any more needs to be told nothing. */
async function orGone(tell: () => Promise<unknown>): Promise<void> {
  try {
    await tell();
  } catch (error) {
    if (isCancellation(error)) throw error;
  }
}

/** Sees to it, by a schedule, that every forgetting that is not done has its workflow: one that was terminated, or never began. */
export async function forgettings(): Promise<number> {
  const { listForgettings } = proxyActivities<ForgettingActivities>(storeRoundOptions());
  let started = 0;
  for (let after: ForgettingKey | null = null; ;) {
    const keys: readonly ForgettingKey[] = await listForgettings({ after, limit: pageSize });
    for (const key of keys) started += (await begun(key)) ? 1 : 0;
    after = keys.at(-1) ?? null;
    if (keys.length < pageSize) return started;
  }
}

async function begun(key: ForgettingKey): Promise<boolean> {
  try {
    await startChild(forget, {
      workflowId: forgetWorkflowId(key),
      args: [key],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      staticSummary: `Forgets rows of ${key.customizationId}`,
      priority: fairly(key.tenantId),
    });
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError') return false;
    throw error;
  }
}
