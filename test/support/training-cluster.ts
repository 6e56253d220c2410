import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { BatchV1Api, CoreV1Api, KubeConfig, type V1Pod } from '@kubernetes/client-node';
import { connectCluster, readJob } from '../../activities/kubernetes/cluster-client.ts';
import { type JobSettings, unprivileged } from '../../activities/kubernetes/job-manifest.ts';
import { createKubernetesExecutor } from '../../activities/kubernetes/kubernetes-executor.ts';
import { createRemoteJobs } from '../../activities/kubernetes/remote-folders.ts';
import type { ResourceTiers } from '../../activities/kubernetes/resource-tiers.ts';
import { type WatchedJobs, watchJobs } from '../../activities/kubernetes/watched-jobs.ts';
import type { JobSpec, TrainingExecutor } from '../../activities/training/executor.ts';
import { jobText } from '../../activities/training/job-text.ts';
import type { HangLimits } from '../../activities/training/hang-watch.ts';
import type { BusinessModel } from '../../catalog/catalog.ts';
import { applyText } from '../../cli/cluster.ts';
import { manifestsText } from '../../cli/cluster-manifests.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../../infra/cluster/cluster.ts';
import { canRunCluster } from '../../infra/cluster/requirements.ts';
import { trainerImageName } from '../../infra/images/trainer-image.ts';
import { randomUUID } from '../../platform/clock.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { createS3Client } from '../../platform/s3.ts';
import { readEncoder } from '../../store/encoder-folder.ts';
import { stagingKey } from '../../store/keys.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { startTestStack } from './engines.ts';
import { type ScriptedJobs, scriptedJobs } from './scripted-jobs.ts';
import { type JobRow, writeJob } from './train-job.ts';
import { workerKubeconfig } from './worker-kubeconfig.ts';

export { canRunCluster as whyNoCluster };

const namespace = 'modelwright-training';

export type TrainingCluster = Pick<ScriptedJobs, 'spec'> & {
  readonly cluster: Cluster;
  readonly adminKubeconfig: string;
  readonly namespace: string;
  readonly installation: string;
  /** Under the account of the training worker, which may do what its role allows and no more. */
  readonly executor: TrainingExecutor;
  /** Another worker. */
  readonly executorWith: (settings: Partial<JobSettings>, hangLimits?: HangLimits) => TrainingExecutor;
  readonly plainPod: (name: string, options: { readonly priorityClassName?: string; readonly gpus?: number }) => V1Pod;
  readonly stopApiserver: () => Promise<void>;
  readonly startApiserver: () => Promise<void>;
  readonly partitionNode: (name: string) => void;
  readonly healNode: (name: string) => void;
  readonly deleteJob: (name: string) => Promise<void>;
  readonly makeForeignJob: (name: string) => Promise<void>;
  readonly exists: (job: string) => Promise<boolean>;
  /** A job of a business model over these rows, with a real encoder. */
  readonly training: (input: RealTraining) => Promise<JobSpec>;
  readonly stagedBytes: (spec: JobSpec, file: string) => Promise<Buffer>;
  readonly countOf: (spec: JobSpec) => Promise<{ readonly jobs: number; readonly secrets: number }>;
  readonly staged: (spec: JobSpec, file: string) => Promise<string>;
  /** Path of an object of another tenant in the store. */
  readonly foreignObject: () => Promise<string>;
  readonly remove: () => Promise<void>;
};

export type RealTraining = {
  readonly model: BusinessModel;
  readonly rows: readonly JobRow[];
  readonly options: JobSpec['options'];
  readonly encoder: string;
  readonly tier: string;
  readonly customizationId: string;
  readonly attempt?: number;
};

/** A real cluster with two nodes, a real store, and the executor under the worker's own account. */
export async function startTrainingCluster(options: {
  readonly tiers: ResourceTiers;
  readonly cluster?: Pick<ClusterOptions, 'nodes' | 'gpusPerNode' | 'kueue'>;
}): Promise<TrainingCluster> {
  const paths = resolvePaths(process.env);
  const home = await mkdtemp(join(tmpdir(), 'mw-k8s-'));
  const stack = await startTestStack({ engines: ['s3'] });
  const image = trainerImageName(paths);
  const cluster = await startCluster({ home: join(home, 'cluster'), paths, ...options.cluster }).catch(async (error: unknown) => {
    await stack.remove();
    throw error;
  });
  const watches: WatchedJobs[] = [];
  const remove = async (): Promise<void> => {
    for (const watched of watches) watched.close();
    await cluster.stop();
    await stack.remove();
    await rm(home, { recursive: true, force: true });
  };
  try {
    const { s3 } = stack.config;
    const seenAt = await cluster.forwardFromPods(stack.config.settings.MW_S3_PORT);
    await applyText(cluster, await manifestsText(namespace, seenAt, {}));
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    const [core, batch] = [config.makeApiClient(CoreV1Api), config.makeApiClient(BatchV1Api)];
    const kubeconfig = join(home, 'worker.kubeconfig');
    await writeFile(kubeconfig, await workerKubeconfig(config, core, namespace), { mode: 0o600 });

    const installation = randomUUID();
    const store = createS3ObjectStore(createS3Client({ s3 }), s3.bucket);
    const seen = createS3ObjectStore(createS3Client({ s3: { ...s3, endpoint: `http://${seenAt}` } }), s3.bucket);
    const client = connectCluster(kubeconfig, namespace, installation);
    const executorWith = (settings: Partial<JobSettings>, hangLimits?: HangLimits): TrainingExecutor => {
      const watched = watchJobs(client, { warn: () => undefined });
      watches.push(watched);
      return createKubernetesExecutor({
        cluster: client,
        watched,
        tiers: options.tiers,
        catalog: jobs.catalog,
        settings: {
          namespace,
          installation,
          image,
          imagePullPolicy: 'Never',
          deadlineSeconds: 3_600,
          keepSeconds: 3_600,
          ...settings,
        },
        remote: createRemoteJobs(store, seen),
        queues: null,
        clusterGrows: false,
        ...(hangLimits ? { hangLimits } : {}),
      });
    };
    const jobs = await scriptedJobs(home, seen, () => executor);
    const executor = executorWith({});
    const numberOf = (node: string): number => Number(/\d+$/.exec(node)?.[0] ?? 0);
    return {
      ...jobs,
      cluster,
      adminKubeconfig: cluster.kubeconfig,
      namespace,
      installation,
      executor,
      executorWith,
      plainPod,
      stopApiserver: cluster.stopApiserver,
      startApiserver: cluster.startApiserver,
      partitionNode: (node) => cluster.partitionNode(numberOf(node)),
      healNode: (node) => cluster.healNode(numberOf(node)),
      deleteJob: async (name) => void (await batch.deleteNamespacedJob({ namespace, name, propagationPolicy: 'Background' })),
      makeForeignJob: async (name) => {
        const { securityContext = {}, containers = [] } = plainPod(name, {}).spec ?? {};
        const template = { spec: { securityContext, containers, restartPolicy: 'Never' } };
        await batch.createNamespacedJob({ namespace, body: { metadata: { name }, spec: { suspend: true, template } } });
      },
      exists: async (name) => (await readJob(client, name)) !== null,
      countOf: async (spec) => {
        const labelSelector = `modelwright.io/tenant=${spec.tenantId}`;
        const named = (items: readonly { metadata?: { name?: string } }[]): number =>
          items.filter(({ metadata }) => metadata?.name?.includes(spec.customizationId)).length;
        return {
          jobs: named((await batch.listNamespacedJob({ namespace, labelSelector })).items),
          secrets: named((await core.listNamespacedSecret({ namespace, labelSelector })).items),
        };
      },
      training: async ({ model, rows, options: given, encoder, tier, customizationId, attempt = 1 }) => {
        const key = { tenantId: 'acme', customizationId, run: 1 };
        const base = await readEncoder(join(paths.modelsDir, encoder));
        const folder = await mkdtemp(join(home, 'job-'));
        const local = await writeJob({ folder: join(folder, 'job'), model, encoderFolder: base.folder, rows, options: given });
        const bucket = await readFile(join(folder, 'job', 'bucket'));
        const at = stagingKey(key, attempt, 'bucket');
        await store.putNew(at, bucket);
        jobs.add(model);
        const provision = await executor.provide({ key, attempt, tier, tierRaises: 0, trainerFile: model.trainerFile, base });
        const put = async (file: string): Promise<[string, string]> => [file, await seen.presignPut(stagingKey(key, attempt, file), 3_600)];
        const [only] = local.dataset.buckets;
        return {
          ...local,
          ...key,
          attempt,
          jobName: jobText(key, attempt),
          businessModel: { ...local.businessModel, trainerFile: provision.trainerFile },
          dataset: { ...local.dataset, buckets: only ? [{ ...only, url: await seen.presignGet(at, 3_600) }] : [] },
          baseModel: { name: base.name, path: provision.basePath, digest: base.digest },
          ...provision.host,
          outputs: Object.fromEntries(await Promise.all(Object.keys(local.outputs).map(put))),
          workDir: executor.workDir(key, attempt),
          cacheDir: executor.cacheDir(key),
        };
      },
      stagedBytes: async (spec, file) => await buffer(await store.stream(stagingKey(spec, spec.attempt, file))),
      staged: async (spec, file) => await text(await store.stream(stagingKey(spec, spec.attempt, file))),
      foreignObject: async () => {
        const key = stagingKey({ tenantId: 'another', customizationId: 'news', run: 1 }, 1, 'eval.jsonl');
        await store.putNew(key, Buffer.from('theirs'));
        return `${s3.bucket}/${key}`;
      },
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A pod that only holds what it asks for. */
function plainPod(name: string, { priorityClassName, gpus = 0 }: { readonly priorityClassName?: string; readonly gpus?: number }): V1Pod {
  return {
    metadata: { name },
    spec: {
      ...(priorityClassName === undefined ? {} : { priorityClassName }),
      terminationGracePeriodSeconds: 1,
      securityContext: { runAsNonRoot: true, runAsUser: unprivileged, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'main',
          image: trainerImageName(resolvePaths(process.env)),
          imagePullPolicy: 'Never',
          command: ['python3', '-c', 'import time; time.sleep(3600)'],
          ...(gpus > 0 ? { resources: { limits: { 'nvidia.com/gpu': String(gpus) } } } : {}),
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  };
}
