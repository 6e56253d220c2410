import type { V1Pod } from '@kubernetes/client-node';
import { type JobClass, type JobEnd, jobClasses } from '../training/executor.ts';
import { trainerContainer } from './job-manifest.ts';

/** Conditions of a pod that was disturbed, and what they mean (Kubernetes: pod disruption conditions). */
const disturbances: Readonly<Record<string, string>> = {
  PreemptionByScheduler: 'a more important pod took its place',
  DeletionByTaintManager: 'its node was lost or tainted',
  EvictionByEvictionAPI: 'it was evicted, as when a node is drained',
  DeletionByPodGC: 'its node is gone',
  TerminationByKubelet: 'its node ran short of memory or disk, or shut down',
};

/** Reasons of a node that took a pod and then could not run it. */
const refusedByNode = /^(UnexpectedAdmissionError|NodeAffinity|NodeShutdown|Terminated|Shutdown|NodeLost|OutOf\w+|Preempting)$/;

const killed = (detail: string): JobEnd => ({
  kind: 'killed',
  detail: `the job's pod ended: ${detail}; it goes on from its last checkpoint`,
});
const failed = (of: Exclude<JobClass, 'ok'>, message: string): JobEnd => ({ kind: 'result', result: { class: of, message } });

/** What the trainer wrote as its last words; null for anything else. */
function lastWords(text: string | undefined): JobEnd | null {
  try {
    const said = JSON.parse(text ?? '') as { class?: string; message?: unknown; rows?: unknown };
    const of = jobClasses.find((known) => known === said.class);
    if (of === undefined || of === 'ok') return null;
    const message = typeof said.message === 'string' ? said.message : 'the trainer gave no reason';
    if (of === 'preempted') return killed(message);
    const rows = Array.isArray(said.rows) ? said.rows.filter((row) => typeof row === 'string') : [];
    return { kind: 'result', result: { class: of, message, ...(rows.length > 0 ? { rows } : {}) } };
  } catch {
    return null;
  }
}

/** How a pod ended that did not end well; null while it has not, or if it did. */
export function endOfPod(pod: V1Pod, tier: string): JobEnd | null {
  const { phase, reason, message = '', conditions = [], containerStatuses = [] } = pod.status ?? {};
  if (phase !== 'Failed') return null;
  // Before the disturbance: the job itself was the cause, and would be again.
  if (reason === 'Evicted' && /exceed/i.test(message))
    return failed('error', `the job used more disk than tier ${tier} gives (${message.trim()}): choose a tier with more disk`);
  const ended = containerStatuses.find(({ name }) => name === trainerContainer)?.state?.terminated;
  if (ended?.reason === 'OOMKilled') return failed('out_of_memory', `the job needed more memory than tier ${tier} gives`);
  const disturbed = conditions.find(({ type, status }) => type === 'DisruptionTarget' && status === 'True');
  if (disturbed) return killed(disturbances[disturbed.reason ?? ''] ?? `${disturbed.reason ?? 'disturbed'}: ${disturbed.message ?? ''}`);
  const words = lastWords(ended?.message);
  if (words) return words;
  if (reason !== undefined && refusedByNode.test(reason)) return killed(`its node refused it (${reason}: ${message.trim()})`);
  if (!ended) return killed(`it left no status (${reason ?? 'no reason'}${message === '' ? '' : `: ${message.trim()}`})`);
  if (ended.exitCode === 137 || ended.exitCode === 143) return killed('it was killed from outside');
  if (ended.reason === 'StartError' || ended.reason === 'ContainerCannotRun')
    return failed('bad_options', `the image's trainer cannot be started: ${ended.message ?? ended.reason}`);
  const signal = ended.exitCode > 128 ? ` by signal ${ended.exitCode - 128}` : '';
  return failed('error', `the trainer ended with status ${ended.exitCode}${signal} and said no more: see the job's log`);
}

/** GPUs times the seconds that pods held them, from when their node took them to their end. */
export function gpuSecondsOf(pods: readonly V1Pod[], gpusOfPod: number, nowMs: number): number {
  let seconds = 0;
  for (const { status } of pods) {
    if (!status?.startTime) continue;
    const over = status.phase === 'Succeeded' || status.phase === 'Failed';
    const endedAt = (status.containerStatuses ?? []).map(({ state }) => state?.terminated?.finishedAt).find((at) => at !== undefined);
    const untilMs = over ? new Date(endedAt ?? status.startTime).getTime() : nowMs;
    seconds += Math.max(0, untilMs - new Date(status.startTime).getTime()) / 1_000;
  }
  return Math.round(seconds * gpusOfPod * 10) / 10;
}
