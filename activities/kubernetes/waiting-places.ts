import type { V1Job, V1Pod } from '@kubernetes/client-node';
import { hasEnded } from './job-state.ts';

/** Without a queue: the how manieth of our jobs that have no node each one is, the oldest first. */
export function waitingPlaces(jobs: readonly V1Job[], podsOf: (job: string) => readonly V1Pod[]): ReadonlyMap<string, number> {
  const waiting = jobs
    .filter((job) => !hasEnded(job))
    .map(({ metadata }) => ({ name: metadata?.name ?? '', madeMs: new Date(metadata?.creationTimestamp ?? 0).getTime() }))
    .filter(({ name }) => !podsOf(name).some(({ spec }) => spec?.nodeName !== undefined))
    .sort((a, b) => a.madeMs - b.madeMs || (a.name < b.name ? -1 : 1));
  return new Map(waiting.map(({ name }, i) => [name, i + 1]));
}
