import { ApplicationFailure, condition, currentUpdateInfo, getExternalWorkflowHandle, setHandler } from '@temporalio/workflow';
import { runWorkflowId } from '../core/ids.ts';
import type { ActiveRunRequest, PauseAnswered, PauseAsked, RunPauseState } from '../core/tenant-messages.ts';
import { pauseAnswered, pauseAsked, pauseRun, resumeAsked, resumeRun } from './messages.ts';
import type { TenantEvent } from './tenant-events.ts';
import { quotaWait } from './tenant-quotas.ts';
import type { TenantState } from './tenant-state.ts';

/** A job has time for its checkpoint, and its cluster to take it away; who pauses waits for that, but not for ever. */
const answerWithin = '90 seconds';

const refuse = (message: string): never => {
  throw ApplicationFailure.nonRetryable(message, 'BadOptions');
};

/** Pauses and resumes of runs: the run does it, and the update waits for its answer. */
export function handleRunPauses(
  tenantId: string,
  tenant: {
    readonly state: () => TenantState;
    readonly whenReady: (customizationId: string) => Promise<void>;
    readonly validator: (request: ActiveRunRequest) => void;
    readonly unnamedActor: string;
    /** For the main loop. */
    readonly answered: (answer: PauseAnswered) => void;
    /** At once: what the main loop hears of later may be too late for the next decision. It has no commands. */
    readonly apply: (event: Extract<TenantEvent, { type: 'pauseAnswered' }>) => void;
  },
): void {
  const waiting = new Map<string, PauseAnswered | null>();
  setHandler(pauseAnswered, (answer) => {
    if (waiting.has(answer.request)) waiting.set(answer.request, answer);
    tenant.answered(answer);
  });

  const activeRun = (customizationId: string) => {
    const activity = tenant.state().customizations[customizationId]?.activity;
    return activity?.kind === 'running' ? activity : null;
  };

  const ask = async (verb: 'pause' | 'resume', { customizationId, ...request }: ActiveRunRequest): Promise<RunPauseState> => {
    await tenant.whenReady(customizationId);
    const active = activeRun(customizationId);
    if (!active || (request.run !== undefined && active.run !== request.run))
      return refuse(
        `customization ${customizationId} has no ${request.run === undefined ? 'active run' : `active run ${request.run}`} to ${verb}`,
      );
    const { run } = active;
    const asked: PauseAsked = {
      request: `${verb}/${currentUpdateInfo()?.id ?? ''}`,
      by: request.actor ?? tenant.unnamedActor,
      reason: request.reason ?? null,
    };
    if (verb === 'resume' && active.paused) {
      const wait = quotaWait(tenant.state(), Date.now());
      if (wait) return refuse(`run ${run} stays paused: ${wait.because}`);
      // Of two that are resumed in one moment, one may be too many. The run's own answer says how it is.
      tenant.apply({ type: 'pauseAnswered', answer: { customizationId, run, ...asked, accepted: true, message: null, paused: null } });
    }
    waiting.set(asked.request, null);
    try {
      await getExternalWorkflowHandle(runWorkflowId({ tenantId, customizationId, run }))
        .signal(verb === 'pause' ? pauseAsked : resumeAsked, asked)
        .catch(() => refuse(`run ${run} has ended`));
      const ended = (): boolean => activeRun(customizationId)?.run !== run;
      await condition(() => waiting.get(asked.request) !== null || ended(), answerWithin);
      const answer = waiting.get(asked.request) ?? null;
      if (answer) return answer.accepted ? { run, paused: answer.paused } : refuse(answer.message ?? `run ${run} refuses it`);
      if (ended()) return refuse(`run ${run} has ended before it could ${verb}`);
      return { run, paused: verb === 'pause' ? null : (active.paused ?? null) };
    } finally {
      waiting.delete(asked.request);
    }
  };
  setHandler(pauseRun, (request) => ask('pause', request), { validator: tenant.validator });
  setHandler(resumeRun, (request) => ask('resume', request), { validator: tenant.validator });
}
