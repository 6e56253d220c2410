import { json } from 'node:stream/consumers';
import type { V1Job, V1Pod } from '@kubernetes/client-node';
import { nowMs, sleep } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { type ClusterClient, reasonOf, statusOf } from './cluster-client.ts';
import { jobLabel, oursOf } from './labels.ts';
import { readLines } from './read-lines.ts';

/** The server ends a watch after this long; then it goes on where it was. */
const watchSeconds = 240;
/** A connection that says nothing for longer is dead: bookmarks come about once a minute. */
const silenceMs = 120_000;
/** Between two tries, and never more often. */
const leastPauseMs = 1_000;
const longestPauseMs = 15_000;

type Seen = {
  readonly metadata?: {
    readonly name?: string;
    readonly resourceVersion?: string;
    readonly labels?: Record<string, string>;
    managedFields?: unknown;
  };
};
type WatchEvent<T> = {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T & { readonly code?: number };
};
type Listed<T> = { readonly metadata?: { readonly resourceVersion?: string }; readonly items: readonly T[] };

/** What the cluster shows of all our jobs in a namespace, kept up to date by two watches, however many jobs there are. */
export type WatchedJobs = {
  readonly job: (name: string) => V1Job | null;
  readonly pods: (name: string) => readonly V1Pod[];
  readonly jobs: () => readonly V1Job[];
  /** Resolves at the next change of the job or its pods, or after so long. */
  readonly changed: (name: string, withinMs: number, signal: AbortSignal) => Promise<void>;
  /** Resolves when what is there has been listed once. Rejects for what trying again does not mend, as a missing permission. */
  readonly ready: Promise<void>;
  /** Since when nothing has come from the cluster, if that is so; null: the watches live. */
  readonly blindSinceMs: () => number | null;
  readonly close: () => void;
};

export function watchJobs(cluster: ClusterClient, logger: Pick<Logger, 'warn'>): WatchedJobs {
  const stop = new AbortController();
  const jobs = new Map<string, V1Job>();
  const pods = new Map<string, Map<string, V1Pod>>();
  const waiting = new Map<string, Set<() => void>>();
  const wake = (name: string): void => {
    for (const resume of waiting.get(name) ?? []) resume();
  };
  const jobOf = (pod: V1Pod): string => pod.metadata?.labels?.[jobLabel] ?? '';
  const place = `/namespaces/${cluster.namespace}`;
  const both = [
    follow<V1Job>(cluster, `/apis/batch/v1${place}/jobs`, logger, stop.signal, {
      replace: (items) => {
        const names = new Set([...jobs.keys(), ...items.map(({ metadata }) => metadata?.name ?? '')]);
        jobs.clear();
        for (const job of items) jobs.set(job.metadata?.name ?? '', job);
        for (const name of names) wake(name);
      },
      put: (job) => {
        jobs.set(job.metadata?.name ?? '', job);
        wake(job.metadata?.name ?? '');
      },
      remove: (job) => {
        jobs.delete(job.metadata?.name ?? '');
        wake(job.metadata?.name ?? '');
      },
    }),
    follow<V1Pod>(cluster, `/api/v1${place}/pods`, logger, stop.signal, {
      replace: (items) => {
        const names = new Set([...pods.keys(), ...items.map(jobOf)]);
        pods.clear();
        for (const pod of items) podsOf(pods, jobOf(pod)).set(pod.metadata?.name ?? '', pod);
        for (const name of names) wake(name);
      },
      put: (pod) => {
        podsOf(pods, jobOf(pod)).set(pod.metadata?.name ?? '', pod);
        wake(jobOf(pod));
      },
      remove: (pod) => {
        const left = pods.get(jobOf(pod));
        left?.delete(pod.metadata?.name ?? '');
        if (left?.size === 0) pods.delete(jobOf(pod));
        wake(jobOf(pod));
      },
    }),
  ];
  const ready = Promise.all(both.map((one) => one.ready)).then(() => undefined);
  // Whoever needs it waits for it; a worker that has no training yet does not.
  ready.catch(() => undefined);
  return {
    job: (name) => jobs.get(name) ?? null,
    pods: (name) => [...(pods.get(name)?.values() ?? [])],
    jobs: () => [...jobs.values()],
    changed: async (name, withinMs, signal) => {
      signal.throwIfAborted();
      const set = waiting.get(name) ?? new Set();
      waiting.set(name, set);
      // A timer and a listener, and no signal made of others: this is called a thousand times a second where there are many jobs.
      const { promise, resolve } = Promise.withResolvers<void>();
      const resume = (): void => resolve();
      const timer = setTimeout(resume, withinMs);
      set.add(resume);
      signal.addEventListener('abort', resume);
      await promise;
      clearTimeout(timer);
      set.delete(resume);
      signal.removeEventListener('abort', resume);
      if (set.size === 0) waiting.delete(name);
      signal.throwIfAborted();
    },
    ready,
    blindSinceMs: () => both.map((one) => one.blindSinceMs()).find((since) => since !== null) ?? null,
    close: () => stop.abort(),
  };
}

function podsOf(pods: Map<string, Map<string, V1Pod>>, name: string): Map<string, V1Pod> {
  const known = pods.get(name) ?? new Map<string, V1Pod>();
  pods.set(name, known);
  return known;
}

type Store<T> = {
  readonly replace: (items: readonly T[]) => void;
  readonly put: (item: T) => void;
  readonly remove: (item: T) => void;
};

/** Lists, then watches from there; lists again when the server has forgotten where that was. Goes on until it is stopped. */
function follow<T extends Seen>(
  cluster: ClusterClient,
  path: string,
  logger: Pick<Logger, 'warn'>,
  signal: AbortSignal,
  store: Store<T>,
): { readonly ready: Promise<void>; readonly blindSinceMs: () => number | null } {
  let blindSinceMs: number | null = nowMs();
  const ready = Promise.withResolvers<void>();
  const run = async (): Promise<void> => {
    let version: string | null = null;
    let pauseMs = leastPauseMs;
    while (!signal.aborted) {
      try {
        if (version === null) {
          const listed = (await json(await cluster.stream(path, { labelSelector: oursOf(cluster.installation) }, signal))) as Listed<T>;
          for (const item of listed.items) lighten(item);
          store.replace(listed.items);
          version = listed.metadata?.resourceVersion ?? '';
          ready.resolve();
        }
        blindSinceMs = null;
        version = await watchFrom(cluster, path, version, signal, store);
        pauseMs = leastPauseMs;
      } catch (error) {
        if (signal.aborted) return;
        if (statusOf(error) === 410 || error instanceof Forgotten) version = null;
        else {
          blindSinceMs ??= nowMs();
          logger.warn({ path, reason: reasonOf(error) }, 'the watch of the cluster broke: it goes on when the API server answers');
          if ([401, 403, 404].includes(statusOf(error))) ready.reject(error);
          pauseMs = Math.min(longestPauseMs, pauseMs * 2);
        }
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  };
  void run();
  return { ready: ready.promise, blindSinceMs: () => blindSinceMs };
}

/** Who wrote which field is half of an object, and nobody here asks. */
function lighten<T extends Seen>(object: T): T {
  if (object.metadata) delete object.metadata.managedFields;
  return object;
}

/** The server no longer knows the version that was asked from. */
class Forgotten extends Error {}

async function watchFrom<T extends Seen>(
  cluster: ClusterClient,
  path: string,
  from: string,
  signal: AbortSignal,
  store: Store<T>,
): Promise<string> {
  let version = from;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), silenceMs);
  const query = {
    labelSelector: oursOf(cluster.installation),
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: from,
    timeoutSeconds: String(watchSeconds),
  };
  try {
    const body = await cluster.stream(path, query, AbortSignal.any([signal, silence.signal]));
    for await (const line of readLines(body)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), silenceMs);
      const { type, object } = JSON.parse(line) as WatchEvent<T>;
      if (type === 'ERROR') throw object.code === 410 ? new Forgotten() : new Error('the API server ended the watch with an error');
      version = object.metadata?.resourceVersion ?? version;
      if (type === 'DELETED') store.remove(object);
      else if (type !== 'BOOKMARK') store.put(lighten(object));
    }
  } finally {
    clearTimeout(timer);
  }
  return version;
}
