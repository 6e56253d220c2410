import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
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
  /** False: a watch could not go on where it was, and something may not have been seen. */
  readonly whole: () => boolean;
  /** Its own watches that are open now. */
  readonly watches: () => Open;
  readonly close: () => void;
};
type Open = { jobs: number; pods: number };

class Broken extends Error {}

/** Longer than any run of the benchmark. */
const watchSeconds = 7_200;
const againMs = 200;

export async function observe(cluster: ClusterClient): Promise<Observed> {
  const stop = new AbortController();
  const jobs = new Map<string, Set<string>>();
  const ends = new Map<string, { job: string; end: string }>();
  const running = new Set<string>();
  const going = new Set<string>();
  let whole = true;
  const open: Open = { jobs: 0, pods: 0 };
  const follow = async (resource: keyof Open, group: string, see: (type: string, object: unknown) => void): Promise<void> => {
    const path = `${group}/namespaces/${cluster.namespace}/${resource}`;
    const query = { labelSelector: `${managedBy}=${managedByUs}` };
    const listed = JSON.parse(await text(await cluster.stream(path, query, stop.signal))) as { metadata: { resourceVersion: string } };
    let version = listed.metadata.resourceVersion;
    const watch = async (): Promise<void> => {
      const from = { watch: 'true', allowWatchBookmarks: 'true', resourceVersion: version, timeoutSeconds: String(watchSeconds) };
      const body = await cluster.stream(path, { ...query, ...from }, stop.signal);
      open[resource] = 1;
      for await (const line of readLines(body)) {
        const { type, object } = JSON.parse(line) as { type: string; object: { metadata?: { resourceVersion?: string } } };
        // Also that the version is forgotten by now: what has been between is lost to us.
        if (type === 'ERROR') throw new Broken();
        version = object.metadata?.resourceVersion ?? version;
        if (type !== 'BOOKMARK') see(type, object);
      }
    };
    const goOn = async (): Promise<void> => {
      while (!stop.signal.aborted && whole) {
        try {
          await watch();
        } catch (error) {
          // The API server ends the watch of who cannot follow: it goes on where it was, and nothing is missed.
          if (error instanceof Broken) whole = false;
        }
        open[resource] = 0;
        await sleep(againMs, undefined, { signal: stop.signal }).catch(() => undefined);
      }
    };
    void goOn();
  };
  await follow('jobs', '/apis/batch/v1', (type, object) => {
    const { metadata } = object as V1Job;
    const of = metadata?.annotations?.[jobAnnotation] ?? '';
    const uids = jobs.get(of) ?? new Set();
    const uid = metadata?.uid ?? '';
    jobs.set(of, uids.add(uid));
    if (type === 'DELETED' || hasEnded(object as V1Job)) going.delete(uid);
    else going.add(uid);
  });
  await follow('pods', '/api/v1', (type, object) => {
    const { metadata, status } = object as V1Pod;
    const uid = metadata?.uid ?? '';
    if (type !== 'DELETED' && status?.phase === 'Running') running.add(uid);
    else running.delete(uid);
    const terminated = status?.containerStatuses?.[0]?.state?.terminated?.reason;
    if (status?.phase === 'Succeeded' || status?.phase === 'Failed')
      ends.set(uid, { job: metadata?.labels?.[jobLabel] ?? '', end: status.reason ?? terminated ?? status.phase });
  });
  return {
    jobs,
    ends,
    runningNow: () => running.size,
    openNow: () => going.size,
    whole: () => whole,
    watches: () => open,
    close: () => stop.abort(),
  };
}

/** Connections that the API server keeps open for the namespace, by what for, without the observer's own. */
export async function openConnections(
  cluster: ClusterClient,
  { watches }: Observed,
): Promise<{ readonly watches: number; readonly logs: number }> {
  const lines = (await text(await cluster.stream('/metrics', {}, AbortSignal.timeout(20_000)))).split('\n');
  const sum = (...having: readonly string[]): number =>
    lines
      .filter((line) => line.startsWith('apiserver_longrunning_requests{') && having.every((part) => line.includes(part)))
      .reduce((all, line) => all + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  const watching = (resource: keyof Open): number =>
    sum('verb="WATCH"', 'scope="namespace"', `resource="${resource}"`) - watches()[resource];
  return { watches: watching('jobs') + watching('pods'), logs: sum('subresource="log"') };
}
