import type { V1Pod } from '@kubernetes/client-node';
import { trainerContainer } from './job-manifest.ts';

/** An image may be missing for a moment, while a registry restarts; longer than this it is missing. */
const imageGraceMs = 90_000;

/** A pod that does not run yet: why, in words; `fatal` when waiting will not help. */
export type Pending = { readonly state: 'pending' | 'starting'; readonly why: string; readonly fatal: boolean };

/** What the scheduler says, as a sentence: `0/2 nodes are available: 2 Insufficient nvidia.com/gpu. ...` */
export function schedulerWords(message: string, tier: string): string {
  const [, nodes = '', reasons = message] =
    /^(\d+\/\d+) nodes are available: (.*?)(?:\. (?:no new claims|preemption:).*)?$/s.exec(message) ?? [];
  const words = reasons
    .replace(/\.$/, '')
    .split(', ')
    .map((reason) => {
      const short = /^(\d+) Insufficient (\S+)$/.exec(reason);
      if (short) return `${short[1]} have too little ${short[2]} free`;
      const taint = /^(\d+) node\(s\) had untolerated taint(?:\(s\))? ?\{?([^}]*)\}?$/.exec(reason);
      if (taint) return `${taint[1]} have the taint ${taint[2]?.trim() ?? ''}, which tier ${tier} does not tolerate`;
      const selector = /^(\d+) node\(s\) didn't match Pod's node affinity\/selector$/.exec(reason);
      if (selector) return `${selector[1]} lack the labels that tier ${tier} asks for`;
      return reason;
    });
  return nodes === '' ? `waits for a node: ${message}` : `waits for a node: of ${nodes.split('/')[1]} nodes ${words.join(', ')}`;
}

const imageProblems = new Set(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull', 'ImageInspectError']);
const neverMends = new Set(['InvalidImageName', 'ErrImageNeverPull']);

/** Null for a pod that runs or has ended. */
export function whyPending(pod: V1Pod, tier: string, nowMs: number): Pending | null {
  const { phase, conditions = [], containerStatuses = [] } = pod.status ?? {};
  if (phase !== undefined && phase !== 'Pending') return null;
  const scheduled = conditions.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status !== 'True') {
    if (scheduled?.reason === 'SchedulingGated') return { state: 'pending', why: 'waits for a scheduling gate', fatal: false };
    const message = scheduled?.message ?? '';
    return { state: 'pending', why: message === '' ? 'waits for the scheduler' : schedulerWords(message, tier), fatal: false };
  }
  const waiting = containerStatuses.find(({ name }) => name === trainerContainer)?.state?.waiting;
  const image = pod.spec?.containers[0]?.image ?? '';
  const ageMs = nowMs - new Date(pod.metadata?.creationTimestamp ?? nowMs).getTime();
  if (waiting?.reason && imageProblems.has(waiting.reason)) {
    const why = `the image ${image} cannot be pulled on node ${pod.spec?.nodeName ?? ''} (${waiting.reason}${waiting.message ? `: ${waiting.message}` : ''})`;
    return { state: 'starting', why, fatal: neverMends.has(waiting.reason) || ageMs > imageGraceMs };
  }
  if (waiting?.reason === 'CreateContainerConfigError' || waiting?.reason === 'CreateContainerError')
    return { state: 'starting', why: `the container cannot be made: ${waiting.message ?? waiting.reason}`, fatal: ageMs > imageGraceMs };
  return { state: 'starting', why: `starts on node ${pod.spec?.nodeName ?? ''}`, fatal: false };
}
