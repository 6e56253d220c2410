import { text } from 'node:stream/consumers';
import type { V1Job, V1Pod } from '@kubernetes/client-node';
import type { ClusterClient } from '../../activities/kubernetes/cluster-client.ts';
import { jobAnnotation, jobLabel, managedBy, managedByUs } from '../../activities/kubernetes/labels.ts';
import { hasEnded } from '../../activities/kubernetes/job-state.ts';
import { readLines } from '../../activities/kubernetes/read-lines.ts';

/** What there was on the cluster, seen by watches of our own: who counts must not ask those who are counted. */
export type Observed = {
  /** Uids of the Jobs that there have been, by what they are for: tenant, customization, run and attempt. */
  readonly jobs: ReadonlyMap<string, ReadonlySet<string>>;
  /** How pods ended, by uid: phase and reason. */
  readonly ends: ReadonlyMap<string, { readonly job: string; readonly end: string }>;
  readonly runningNow: () => number;
  /** Jobs that have not ended. */
  readonly openNow: () => number;
  /** False: a watch broke, and something may not have been seen. */
  readonly whole: () => boolean;
  readonly close: () => void;
};

/** Longer than any run of the benchmark. */
const watchSeconds = 7_200;
const watchesOfOurs = 1;

export async function observe(cluster: ClusterClient): Promise<Observed> {
  const stop = new AbortController();
  const jobs = new Map<string, Set<string>>();
  const ends = new Map<string, { job: string; end: string }>();
  const running = new Set<string>();
  const open = new Set<string>();
  let whole = true;
  const follow = async (path: string, see: (type: string, object: unknown) => void): Promise<void> => {
    const query = { labelSelector: `${managedBy}=${managedByUs}` };
    const listed = JSON.parse(await text(await cluster.stream(path, query, stop.signal))) as { metadata: { resourceVersion: string } };
    const from = { watch: 'true', resourceVersion: listed.metadata.resourceVersion, timeoutSeconds: String(watchSeconds) };
    const body = await cluster.stream(path, { ...query, ...from }, stop.signal);
    const read = async (): Promise<void> => {
      for await (const line of readLines(body)) {
        const { type, object } = JSON.parse(line) as { type: string; object: unknown };
        if (type === 'ERROR') throw new Error('the watch broke');
        see(type, object);
      }
      throw new Error('the watch ended');
    };
    void read().catch(() => {
      if (!stop.signal.aborted) whole = false;
    });
  };
  await follow(`/apis/batch/v1/namespaces/${cluster.namespace}/jobs`, (type, object) => {
    const { metadata } = object as V1Job;
    const of = metadata?.annotations?.[jobAnnotation] ?? '';
    const uids = jobs.get(of) ?? new Set();
    const uid = metadata?.uid ?? '';
    jobs.set(of, uids.add(uid));
    if (type === 'DELETED' || hasEnded(object as V1Job)) open.delete(uid);
    else open.add(uid);
  });
  await follow(`/api/v1/namespaces/${cluster.namespace}/pods`, (type, object) => {
    const { metadata, status } = object as V1Pod;
    const uid = metadata?.uid ?? '';
    if (type !== 'DELETED' && status?.phase === 'Running') running.add(uid);
    else running.delete(uid);
    const terminated = status?.containerStatuses?.[0]?.state?.terminated?.reason;
    if (status?.phase === 'Succeeded' || status?.phase === 'Failed')
      ends.set(uid, { job: metadata?.labels?.[jobLabel] ?? '', end: status.reason ?? terminated ?? status.phase });
  });
  return { jobs, ends, runningNow: () => running.size, openNow: () => open.size, whole: () => whole, close: () => stop.abort() };
}

/** Connections that the API server keeps open for the namespace, by what for, without the observer's own. */
export async function openConnections(cluster: ClusterClient): Promise<{ readonly watches: number; readonly logs: number }> {
  const lines = (await text(await cluster.stream('/metrics', {}, AbortSignal.timeout(20_000)))).split('\n');
  const sum = (...having: readonly string[]): number =>
    lines
      .filter((line) => line.startsWith('apiserver_longrunning_requests{') && having.every((part) => line.includes(part)))
      .reduce((all, line) => all + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  const watching = (resource: string): number => sum('verb="WATCH"', 'scope="namespace"', `resource="${resource}"`) - watchesOfOurs;
  return { watches: watching('jobs') + watching('pods'), logs: sum('subresource="log"') };
}
