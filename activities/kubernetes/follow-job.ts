import type { JobSituation, TrainingProgress } from '../../core/run.ts';
import { nowMs } from '../../platform/clock.ts';
import { failure } from '../failure.ts';
import { parseProgress } from '../adapters/progress-lines.ts';
import type { JobEnd, JobSpec } from '../training/executor.ts';
import { type HangLimits, HangWatch } from '../training/hang-watch.ts';
import { type ClusterClient, readJob } from './cluster-client.ts';
import { followLog } from './follow-log.ts';
import { stateOfJob } from './job-state.ts';
import { jobName } from './labels.ts';
import { gpuSecondsOf } from './pod-end.ts';
import type { RemoteJobs } from './remote-folders.ts';
import type { ResourceTier } from './resource-tiers.ts';
import type { TenantQueues } from './tenant-queues.ts';
import type { WatchedJobs } from './watched-jobs.ts';

export type FollowContext = {
  readonly cluster: ClusterClient;
  readonly watched: WatchedJobs;
  readonly remote: RemoteJobs;
  readonly queues: TenantQueues | null;
  readonly clusterGrows: boolean;
  readonly hangLimits?: HangLimits;
  /** The how manieth each job is that has no node. */
  readonly places: () => Promise<ReadonlyMap<string, number>>;
  readonly whyImpossible: (tier: ResourceTier) => Promise<string | null>;
  readonly eventsOf: (names: readonly string[]) => Promise<readonly string[]>;
  /** Deletes a job with everything that belongs to it. */
  readonly remove: (name: string) => Promise<void>;
};

/** Changes wake it at once; this often it looks at the clock. */
const lookEveryMs = 2_000;
/** What the watches do not show, of a job that waits: its events, its place in a queue. Of one that starts soon nobody asks. */
const askEveryMs = 5_000;
const askAfterMs = 2_000;
/** What has changed is told at once; that a job still runs, and what it has used, so often. */
const tellEveryMs = 10_000;
/** Whether any node could ever run it. */
const capacityEveryMs = 60_000;
/** The watches show a new job after milliseconds, unless the API server is away. */
const unseenMs = 10_000;

const begun: TrainingProgress = { phase: 'load', step: 0, steps: 1, epoch: 0, loss: null, etaMs: null };
const refused = (message: string): JobEnd => ({ kind: 'result', result: { class: 'bad_options', message } });

/** Follows a job that exists to its end. Whatever is asked of the cluster may fail for a while: the job goes on without us. */
export async function followJob(
  context: FollowContext,
  spec: JobSpec,
  tier: ResourceTier,
  onProgress: (progress: TrainingProgress) => void,
  signal: AbortSignal,
): Promise<JobEnd> {
  const { watched, remote, remove } = context;
  const name = jobName(context.cluster.installation, spec, spec.attempt);
  const listener = listenTo(context.cluster, context.hangLimits, signal);
  const waiting = new WaitingJob(context, spec, tier);
  let seenMs: number | null = null;
  let [told, toldMs] = ['', 0];
  const startedMs = nowMs();
  try {
    for (;;) {
      signal.throwIfAborted();
      const job = watched.job(name);
      if (job) seenMs ??= nowMs();
      const pods = watched.pods(name);
      const state = job ? stateOfJob(job, pods, tier.name, nowMs()) : null;
      const tell = (now: Pick<JobSituation, 'state' | 'why' | 'node'>): void => {
        const situation = { ...now, queuePosition: waiting.position, events: waiting.events };
        const telling = JSON.stringify([listener.last(), situation]);
        // The end is always told: by then it is known what was used in all.
        const news = telling !== told || nowMs() - toldMs > tellEveryMs || state?.kind !== 'open';
        if (!news) return;
        [told, toldMs] = [telling, nowMs()];
        onProgress({
          ...listener.last(),
          job: {
            ...situation,
            tier: tier.name,
            workers: tier.workers,
            gpus: tier.gpus * tier.workers,
            gpuSeconds: gpuSecondsOf(pods, tier.gpus, nowMs()),
          },
        });
      };
      if (job && (state === null || state.kind !== 'open')) tell({ state: 'running', why: null, node: null });
      if (state?.kind === 'succeeded') {
        const result = await remote.result(spec);
        if (!result) throw failure('Corrupt', `job ${name} ended well and left no result in the store`);
        return { kind: 'result', result };
      }
      if (state?.kind === 'ended') {
        if (state.remove) await remove(name);
        // What comes after the result, such as the end of another worker, does not undo it.
        const result = await remote.result(spec);
        return result ? { kind: 'result', result } : withLog(state.end, context.cluster.namespace, name);
      }
      if (
        !job &&
        watched.blindSinceMs() === null &&
        (seenMs !== null || nowMs() - startedMs > unseenMs) &&
        (await readJob(context.cluster, name)) === null
      ) {
        const result = await remote.result(spec);
        if (result) return { kind: 'result', result };
        return { kind: 'killed', detail: `job ${name} was deleted from outside: the training goes on from its last checkpoint` };
      }
      if (job && state?.kind === 'open') {
        if (state.state === 'running') {
          waiting.over();
          if (state.pod !== null) listener.pod(state.pod);
          tell(state);
          const silent = listener.hungAfterMs(watched.blindSinceMs() !== null);
          if (silent !== null) {
            await remove(name);
            return { kind: 'hang', detail: `no progress for ${Math.round(silent / 1_000)} s: the job was ended` };
          }
        } else {
          const hopeless = await waiting.look(
            state.state,
            job.metadata?.uid ?? '',
            pods.map(({ metadata }) => metadata?.name ?? ''),
          );
          if (hopeless !== null) {
            await remove(name);
            return refused(hopeless);
          }
          tell({ ...state, why: waiting.why ?? state.why });
        }
      }
      await watched.changed(name, lookEveryMs, signal);
    }
  } finally {
    listener.close();
  }
}

/** An end that nobody foresaw is told with where its log is. */
function withLog(end: JobEnd, namespace: string, name: string): JobEnd {
  if (end.kind !== 'result' || end.result.class !== 'error') return end;
  return { ...end, result: { ...end.result, message: `${end.result.message} (kubectl -n ${namespace} logs job/${name})` } };
}

/** What is said of a job that does not run yet, beyond what its pods show. */
class WaitingJob {
  readonly #context: FollowContext;
  readonly #spec: JobSpec;
  readonly #tier: ResourceTier;
  #askedMs = nowMs() + askAfterMs - askEveryMs;
  #weighedMs = 0;
  why: string | null = null;
  position: number | null = null;
  events: readonly string[] = [];

  constructor(context: FollowContext, spec: JobSpec, tier: ResourceTier) {
    this.#context = context;
    this.#spec = spec;
    this.#tier = tier;
  }

  over(): void {
    this.why = null;
    this.position = null;
  }

  /** Why waiting will never help; null: it may. */
  async look(state: JobSituation['state'], uid: string, pods: readonly string[]): Promise<string | null> {
    const { cluster, queues, clusterGrows, places, whyImpossible, eventsOf } = this.#context;
    const now = nowMs();
    if (!clusterGrows && state !== 'starting' && now - this.#weighedMs > capacityEveryMs) {
      this.#weighedMs = now;
      const impossible = await whyImpossible(this.#tier);
      if (impossible !== null)
        return `${impossible}: choose another resource tier, or set MW_CLUSTER_GROWS=on if nodes are added on demand`;
    }
    if (now - this.#askedMs < askEveryMs) return null;
    this.#askedMs = now;
    const name = jobName(cluster.installation, this.#spec, this.#spec.attempt);
    this.events = await eventsOf([name, ...pods]);
    this.why = null;
    if (state === 'queued' && queues !== null) {
      const place = await queues.place(uid, this.#spec.tenantId);
      this.why = place?.why ?? null;
      this.position = place?.position ?? null;
      if (place?.impossible) return `${place.why}: choose another resource tier`;
    } else if (pods.length === 0) {
      const quota = this.events.findLast((event) => event.includes('exceeded quota'));
      if (quota !== undefined) this.why = `waits for room in the namespace's quota (${quota.slice(quota.indexOf('exceeded quota'))})`;
    }
    if (state === 'pending') this.position = (await places()).get(name) ?? null;
    return null;
  }
}

/** The log of the job's pod, whichever it is now, and the watch over its silence. */
function listenTo(cluster: ClusterClient, limits: HangLimits | undefined, signal: AbortSignal) {
  const watch = new HangWatch(nowMs(), limits);
  let last = begun;
  let pod: string | null = null;
  let connected = false;
  let stop = new AbortController();
  return {
    last: () => last,
    pod: (name: string): void => {
      if (name === pod) return;
      stop.abort();
      stop = new AbortController();
      pod = name;
      watch.unheard(nowMs());
      const line = (text: string): void => {
        const progress = parseProgress(text);
        if (!progress) return;
        watch.progressed(nowMs());
        last = progress;
      };
      void followLog(cluster, name, { line, connected: (yes) => (connected = yes) }, AbortSignal.any([signal, stop.signal]));
    },
    /** Silence counts only while somebody listens. */
    hungAfterMs: (blind: boolean): number | null => {
      if (blind || !connected) watch.unheard(nowMs());
      return watch.hungAfterMs(nowMs());
    },
    close: () => stop.abort(),
  };
}
