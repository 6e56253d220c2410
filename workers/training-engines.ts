import { mkdir } from 'node:fs/promises';
import { createProcessExecutor, jobEnvironment } from '../activities/adapters/process-executor.ts';
import { startWarmTrainer } from '../activities/adapters/warm-trainer.ts';
import { connectCluster } from '../activities/kubernetes/cluster-client.ts';
import { checkCluster } from '../activities/kubernetes/cluster-check.ts';
import { createKubernetesExecutor } from '../activities/kubernetes/kubernetes-executor.ts';
import { createRemoteJobs } from '../activities/kubernetes/remote-folders.ts';
import { loadResourceTiers } from '../activities/kubernetes/resource-tiers.ts';
import { createTenantQueues } from '../activities/kubernetes/tenant-queues.ts';
import { watchJobs } from '../activities/kubernetes/watched-jobs.ts';
import type { TrainingExecutor } from '../activities/training/executor.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { nowMs } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { ReadinessCheck } from '../platform/health-server.ts';
import type { Logger } from '../platform/logger.ts';
import type { ObjectStore } from '../store/object-store.ts';

type Addresses = Pick<ObjectStore, 'presignGet' | 'presignPut' | 'presignAll'>;

/** Where trainings run, wired: MW_EXECUTOR. */
export type TrainingEngine = {
  readonly executor: TrainingExecutor;
  /** The store's addresses as jobs see it. */
  readonly addresses: Addresses;
  readonly checks: readonly ReadinessCheck[];
  readonly close: () => Promise<void>;
};

export async function processEngine(
  { paths, settings }: Config,
  trainerDir: string,
  store: ObjectStore,
  logger: Logger,
): Promise<TrainingEngine> {
  const program = { python: paths.trainerPython, trainerDir };
  await mkdir(paths.jobsDir, { recursive: true });
  const environment = jobEnvironment(trainerDir, paths.jobsDir);
  const warm = settings.MW_WARM_TRAINER === 'on' ? startWarmTrainer(program, paths.jobsDir, environment, logger) : null;
  return {
    executor: createProcessExecutor({ ...program, jobsDir: paths.jobsDir, warm, threads: settings.MW_TRAINER_THREADS }),
    addresses: store,
    checks: [],
    close: async () => await warm?.close(),
  };
}

/** So long the cluster may say nothing before the worker says that it is not ready. */
const blindMs = 30_000;

/** Refuses to start on a cluster that cannot train: all that is wrong at once, and nothing is made before. `seen`: the store's addresses as jobs see it. */
export async function kubernetesEngine(
  config: Config,
  installation: string,
  catalog: Catalog,
  { store, seen }: { readonly store: ObjectStore; readonly seen: Addresses },
  logger: Logger,
): Promise<TrainingEngine> {
  const { settings } = config;
  const tiers = loadResourceTiers(settings.MW_RESOURCE_TIERS);
  const cluster = connectCluster(settings.MW_KUBECONFIG, settings.MW_JOB_NAMESPACE, installation);
  const { problems, clusterQueue } = await checkCluster(cluster, settings, tiers, catalog);
  if (problems.length > 0) throw new Error(problems.map(({ problem, remedy }) => `${problem}: ${remedy}`).join('\n'));
  const watched = watchJobs(cluster, logger);
  const executor = createKubernetesExecutor({
    cluster,
    watched,
    tiers,
    catalog,
    settings: {
      namespace: settings.MW_JOB_NAMESPACE,
      installation,
      image: settings.MW_JOB_IMAGE ?? '',
      imagePullPolicy: settings.MW_JOB_IMAGE_PULL,
      ...(settings.MW_JOB_IMAGE_PULL_SECRET === undefined ? {} : { imagePullSecret: settings.MW_JOB_IMAGE_PULL_SECRET }),
      deadlineSeconds: settings.MW_JOB_DEADLINE_MINUTES * 60,
      keepSeconds: settings.MW_JOB_KEEP_MINUTES * 60,
    },
    remote: createRemoteJobs(store, seen),
    queues: clusterQueue === null ? null : createTenantQueues(cluster, clusterQueue),
    clusterGrows: settings.MW_CLUSTER_GROWS === 'on',
  });
  logger.info({ server: cluster.server, namespace: cluster.namespace, clusterQueue }, 'trainings run as Jobs on the cluster');
  return {
    executor,
    addresses: seen,
    checks: [
      {
        name: 'kubernetes',
        check: () => {
          const since = watched.blindSinceMs();
          return since === null || nowMs() - since < blindMs
            ? Promise.resolve()
            : Promise.reject(new Error('the API server of the cluster does not answer'));
        },
      },
    ],
    close: () => {
      watched.close();
      return Promise.resolve();
    },
  };
}
