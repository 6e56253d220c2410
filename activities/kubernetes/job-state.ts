import type { V1Job, V1Pod } from '@kubernetes/client-node';
import type { JobSituation } from '../../core/run.ts';
import type { JobEnd } from '../training/executor.ts';
import { whyPending } from './pending-reason.ts';
import { endOfPod } from './pod-end.ts';

/** A pod that should have ended so long ago is on a node that no longer answers. */
const lostAfterMs = 15_000;

export type JobState =
  /** Its result is in the store. */
  | { readonly kind: 'succeeded' }
  /** `remove`: it would go on by itself, and must not. */
  | { readonly kind: 'ended'; readonly end: JobEnd; readonly remove: boolean }
  | {
      readonly kind: 'open';
      readonly state: JobSituation['state'];
      readonly why: string | null;
      /** The first worker's pod, once it runs. */
      readonly pod: string | null;
      readonly node: string | null;
    };

const killed = (detail: string): JobEnd => ({ kind: 'killed', detail });

/** Failures that name a cause before those that are nobody's fault: of workers that train together, one fails and the others lose it. */
const moreTelling = (a: JobEnd, b: JobEnd): number => Number(a.kind === 'killed') - Number(b.kind === 'killed');

const conditionOf = (job: V1Job, type: string) => (job.status?.conditions ?? []).find((one) => one.type === type && one.status === 'True');

/** Whether it will never have a pod again. */
export const hasEnded = (job: V1Job): boolean => ['Complete', 'Failed'].some((type) => conditionOf(job, type) !== undefined);

const indexOf = (pod: V1Pod): number => Number(pod.metadata?.annotations?.['batch.kubernetes.io/job-completion-index'] ?? 0);
const createdMs = (pod: V1Pod): number => new Date(pod.metadata?.creationTimestamp ?? 0).getTime();

/** What has become of a job, from what the cluster shows of it and its pods. */
export function stateOfJob(job: V1Job, pods: readonly V1Pod[], tier: string, nowMs: number): JobState {
  if (conditionOf(job, 'Complete')) return { kind: 'succeeded' };
  const ends = pods.map((pod) => endOfPod(pod, tier)).filter((end) => end !== null);
  const worst = ends.sort(moreTelling)[0];
  const failed = conditionOf(job, 'Failed');
  if (failed?.reason === 'DeadlineExceeded') {
    const hours = Math.round(((job.spec?.activeDeadlineSeconds ?? 0) / 3_600) * 10) / 10;
    const message = `the job ran longer than the ${hours} hours that a job may take here`;
    return { kind: 'ended', end: { kind: 'result', result: { class: 'error', message } }, remove: false };
  }
  if (failed) return { kind: 'ended', end: worst ?? killed('the job failed and left no pod that says why'), remove: false };
  // Its pod used up its disk: the Job would take that for a disturbance and start it again, for ever.
  if (worst?.kind === 'result') return { kind: 'ended', end: worst, remove: true };
  const open = pods.filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed');
  const lost = open.find(
    ({ metadata }) => metadata?.deletionTimestamp !== undefined && nowMs - new Date(metadata.deletionTimestamp).getTime() > lostAfterMs,
  );
  if (lost)
    return {
      kind: 'ended',
      end: killed(`node ${lost.spec?.nodeName ?? ''} is lost, and the job's pod with it: it goes on elsewhere from its last checkpoint`),
      remove: true,
    };
  if (job.spec?.suspend) return { kind: 'open', state: 'queued', why: 'waits in its queue', pod: null, node: null };
  const first = open.filter((pod) => indexOf(pod) === 0).sort((a, b) => createdMs(b) - createdMs(a))[0];
  const waiting = open.map((pod) => whyPending(pod, tier, nowMs)).filter((pending) => pending !== null);
  const hopeless = waiting.find(({ fatal }) => fatal);
  if (hopeless) return { kind: 'ended', end: { kind: 'result', result: { class: 'bad_options', message: hopeless.why } }, remove: true };
  const node = first?.spec?.nodeName ?? null;
  const unplaced = waiting.find(({ state }) => state === 'pending') ?? waiting[0];
  if (unplaced) return { kind: 'open', state: unplaced.state, why: unplaced.why, pod: null, node };
  if (!first) {
    // Its pods have ended well, and the Job is about to.
    const over = pods.some(({ status }) => status?.phase === 'Succeeded');
    return { kind: 'open', state: over ? 'running' : 'pending', why: over ? null : 'waits for its pod', pod: null, node: null };
  }
  return { kind: 'open', state: 'running', why: null, pod: first.metadata?.name ?? null, node };
}
