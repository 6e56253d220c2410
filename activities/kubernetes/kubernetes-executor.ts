import { readFile } from 'node:fs/promises';
import type { Catalog } from '../../catalog/catalog.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import { failure } from '../failure.ts';
import type { TrainingExecutor } from '../training/executor.ts';
import type { HangLimits } from '../training/hang-watch.ts';
import { jobText, runOf, runText } from '../training/job-text.ts';
import { createCapacity } from './capacity.ts';
import { type ClusterClient, ask, isMissing } from './cluster-client.ts';
import { createOrAdopt } from './create-job.ts';
import { createEvents } from './events.ts';
import { type FollowContext, followJob } from './follow-job.ts';
import { gpuSecondsOf } from './pod-end.ts';
import { hasEnded } from './job-state.ts';
import { type JobSettings, podFolders, usualGraceSeconds } from './job-manifest.ts';
import { gpusAnnotation, jobAnnotation, jobName, oursOf, runLabel, runValue } from './labels.ts';
import type { RemoteJobs } from './remote-folders.ts';
import { type ResourceTier, type ResourceTiers, UnknownTier, threadsOf, tierOf } from './resource-tiers.ts';
import { shared } from './shared.ts';
import type { TenantQueues } from './tenant-queues.ts';
import { waitingPlaces } from './waiting-places.ts';
import type { WatchedJobs } from './watched-jobs.ts';

export type KubernetesExecutorOptions = {
  readonly cluster: ClusterClient;
  readonly watched: WatchedJobs;
  readonly tiers: ResourceTiers;
  readonly settings: JobSettings;
  readonly remote: RemoteJobs;
  readonly catalog: Catalog;
  /** Null: Kueue is not used, jobs start as soon as a node has room. */
  readonly queues: TenantQueues | null;
  /** Nodes may be added to the cluster: what fits none of today's is waited for. */
  readonly clusterGrows: boolean;
  /** Other than the usual ones, for jobs that are known to be quick. */
  readonly hangLimits?: HangLimits;
};

/** Places among thousands of jobs are counted for all of them at once. */
const placesEveryMs = 2_500;

/** Deleting with everything that belongs to it takes a pod's grace period, and some. */
const goneWithinMs = (usualGraceSeconds + 30) * 1_000;

/** Trainings as batch/v1 Jobs. A worker that dies leaves them running, and the next one adopts them by their names. */
export function createKubernetesExecutor(options: KubernetesExecutorOptions): TrainingExecutor {
  const { cluster, watched, tiers, settings, remote, catalog, queues } = options;
  const tierNamed = (name: string, raises: number): ResourceTier => {
    try {
      return tierOf(tiers, name, raises);
    } catch (error) {
      if (error instanceof UnknownTier) throw failure('BadOptions', error.message, error);
      throw error;
    }
  };

  const remove = async (name: string): Promise<void> => {
    await ask(`delete job ${name}`, async () => {
      await cluster.batch
        .deleteNamespacedJob({ namespace: cluster.namespace, name, propagationPolicy: 'Foreground' })
        .catch((error: unknown) => {
          if (!isMissing(error)) throw error;
        });
    });
  };

  /** GPU seconds of jobs that were stopped here, until the run is over: a stop that is asked for again finds no job any more. */
  const stopped = new Map<string, number>();

  const untilGone = async (names: readonly string[]): Promise<void> => {
    const deadline = nowMs() + goneWithinMs;
    // A pod on a node that does not answer stays for ever: the fencing token keeps it from doing harm.
    while (nowMs() < deadline && names.some((name) => watched.job(name) !== null)) await sleep(500);
  };

  const context: FollowContext = {
    ...options,
    remove,
    places: shared(placesEveryMs, () => Promise.resolve(waitingPlaces(watched.jobs(), watched.pods))),
    whyImpossible: createCapacity(cluster),
    eventsOf: createEvents(cluster),
  };

  return {
    workDir: () => podFolders.job,
    cacheDir: () => podFolders.cache,
    provide: async ({ key, attempt, tier: name, tierRaises, base }) => {
      const tier = tierNamed(name, tierRaises);
      return {
        trainerFile: `${podFolders.spec}/trainer.py`,
        basePath: `${podFolders.models}/${base.name}`,
        largerTier: tier.next !== undefined,
        host: {
          threads: threadsOf(tier),
          ...(tier.workers > 1 ? { workers: tier.workers } : {}),
          tier: tier.name,
          remote: await remote.folders(key, attempt, base),
        },
      };
    },
    caches: () => remote.caches(),
    removeCache: (key) => remote.removeCache(key),
    follow: async (spec, onProgress, signal) => {
      const name = jobName(cluster.installation, spec, spec.attempt);
      const tier = tierNamed(spec.tier ?? '', 0);
      await watched.ready;
      const finished = await remote.result(spec);
      // Of a job that is still there, what it has used is told too.
      if (finished && (watched.blindSinceMs() !== null || watched.job(name) === null)) return { kind: 'result', result: finished };
      const trainer = await readFile(catalog.get(spec.businessModel.id)?.trainerFile ?? '', 'utf8');
      const localQueue = queues === null ? null : await queues.of(spec.tenantId);
      const known = watched.blindSinceMs() !== null || watched.job(name) !== null;
      await createOrAdopt(cluster, spec, trainer, tier, settings, localQueue, known, signal);
      return await followJob(context, spec, tier, onProgress, signal);
    },
    stop: async (key, attempt) => {
      const jobs = (
        await ask('list jobs', () =>
          cluster.batch.listNamespacedJob({
            namespace: cluster.namespace,
            labelSelector: `${oursOf(cluster.installation)},${runLabel}=${runValue(key)}`,
          }),
        )
      ).items;
      // Those that have ended hold nothing, and say why for as long as MW_JOB_KEEP_MINUTES lets them.
      const names = jobs.filter((one) => !hasEnded(one)).map(({ metadata }) => metadata?.name ?? '');
      const own = attempt === undefined ? '' : jobName(cluster.installation, key, attempt);
      // Looked at before they are gone, and counted until they are.
      const held = watched.pods(own);
      const job = jobs.find(({ metadata }) => metadata?.name === own);
      const gpusOfPod = Number(job?.metadata?.annotations?.[gpusAnnotation] ?? 0) / (job?.spec?.completions ?? 1);
      for (const name of names) await remove(name);
      await untilGone(names);
      if (gpusOfPod > 0) stopped.set(jobText(key, attempt ?? 0), gpuSecondsOf(held, gpusOfPod, nowMs()));
      const gpuSeconds = stopped.get(jobText(key, attempt ?? 0));
      return gpuSeconds === undefined ? {} : { gpuSeconds };
    },
    jobs: async () => {
      await watched.ready;
      return watched
        .jobs()
        .filter((job) => !hasEnded(job))
        .map(({ metadata }) => runOf(metadata?.annotations?.[jobAnnotation]))
        .filter((run) => run !== null);
    },
    // What belongs to a job goes with it, at once or after its time.
    discard: (key) => {
      for (const job of stopped.keys()) if (job.startsWith(`${runText(key)}.`)) stopped.delete(job);
      return Promise.resolve();
    },
  };
}
