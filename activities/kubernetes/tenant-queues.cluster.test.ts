import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BusinessModel } from '../../catalog/catalog.ts';
import type { JobSituation } from '../../core/run.ts';
import { type Cluster, startCluster } from '../../infra/cluster/cluster.ts';
import { kwokLabel, kwokTaint } from '../../infra/cluster/kwok.ts';
import { canRunCluster } from '../../infra/cluster/requirements.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { applyManifests } from '../../test/support/apply-manifests.ts';
import { podStages } from '../../test/support/simulated-pods.ts';
import { simulatedSpec } from '../../test/support/simulated-spec.ts';
import { simulatedStore } from '../../test/support/simulated-store.ts';
import { workerKubeconfig } from '../../test/support/worker-kubeconfig.ts';
import { eventually } from '../../test/support/workflow-fixture.ts';
import type { JobEnd, TrainingExecutor } from '../training/executor.ts';
import { type ClusterClient, connectCluster } from './cluster-client.ts';
import { createKubernetesExecutor } from './kubernetes-executor.ts';
import { jobName } from './labels.ts';
import { clusterManifests } from './manifests.ts';
import { createRemoteJobs } from './remote-folders.ts';
import { parseTiers } from './resource-tiers.ts';
import { clusterQueueExists, createTenantQueues, kueueInstalled } from './tenant-queues.ts';
import { type WatchedJobs, watchJobs } from './watched-jobs.ts';

const namespace = 'modelwright-training';
const installation = 'queues';
const clusterQueue = 'modelwright';
const gpus = 4;
const why = canRunCluster();

const onSimulatedNodes = { tolerations: [{ key: kwokTaint.key, operator: 'Exists' }], nodeSelector: kwokLabel };
const tiers = parseTiers(
  {
    one: { cpu: '1', memory: '1Gi', disk: '1Gi', gpus: 1, ...onSimulatedNodes },
    five: { cpu: '1', memory: '1Gi', disk: '1Gi', gpus: 1, workers: 5, ...onSimulatedNodes },
  },
  'the tiers of this test',
);
const nowhere = { presignGet: () => Promise.resolve('none'), presignPut: () => Promise.resolve('none') };

type Followed = { readonly situations: JobSituation[]; readonly end: Promise<JobEnd>; readonly name: string };
type Workload = {
  readonly metadata: { readonly ownerReferences: readonly { readonly name: string }[] };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly lastTransitionTime: string }[] };
};

/** The real controller admits jobs; their pods are simulated, and run some seconds on nodes that are more than the queue allows. */
describe.skipIf(why !== null)(`queues of tenants, by Kueue${why === null ? '' : ` (${why})`}`, () => {
  const over = new AbortController();
  let folder: string;
  let running: Cluster;
  let cluster: ClusterClient;
  let watched: WatchedJobs;
  let executor: TrainingExecutor;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mw-queues-'));
    const trainerFile = join(folder, 'trainer.py');
    await writeFile(trainerFile, '');
    running = await startCluster({
      home: join(folder, 'cluster'),
      paths: resolvePaths(process.env),
      nodes: 1,
      trainer: false,
      kueue: true,
      kwok: { nodes: 2, gpus: 8, stages: podStages({ runMs: [4_000, 9_000], outOfMemory: 0, evicted: 0 }) },
    });
    const admin = new KubeConfig();
    admin.loadFromFile(running.kubeconfig);
    const manifests = clusterManifests({
      namespace,
      s3: { cidr: '10.0.0.1', port: 443 },
      quota: { gpus: null, cpu: null, memory: null },
      kueue: { clusterQueue, gpus, cpu: '64', memory: '512Gi' },
    });
    await applyManifests(admin, manifests);
    const kubeconfig = join(folder, 'worker.kubeconfig');
    await writeFile(kubeconfig, await workerKubeconfig(admin, admin.makeApiClient(CoreV1Api), namespace), { mode: 0o600 });
    cluster = connectCluster(kubeconfig, namespace, installation);
    watched = watchJobs(cluster, { warn: () => undefined });
    const isComplete = (job: string): boolean =>
      watched.job(job)?.status?.conditions?.some(({ type, status }) => type === 'Complete' && status === 'True') ?? false;
    const store = simulatedStore((key) => isComplete(jobName(installation, key, key.attempt)), nowhere);
    executor = createKubernetesExecutor({
      cluster,
      watched,
      tiers,
      settings: { namespace, installation, image: 'none', imagePullPolicy: 'Never', deadlineSeconds: 600, keepSeconds: 600 },
      remote: createRemoteJobs(store, nowhere),
      catalog: new Map([['simulated', { id: 'simulated', version: '1', trainerFile } as BusinessModel]]),
      queues: createTenantQueues(cluster, clusterQueue),
      clusterGrows: false,
    });
  });
  afterAll(async () => {
    over.abort();
    watched?.close();
    await running?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** A training by the executor, from its creation to its end. */
  const follow = (tenantId: string, customizationId: string, tier = 'one'): Followed => {
    const spec = simulatedSpec({ tenantId, customizationId, run: 1, attempt: 1, tier });
    const situations: JobSituation[] = [];
    const end = executor.follow(spec, ({ job }) => void (job && situations.push(job)), over.signal);
    end.catch(() => undefined);
    return { situations, end, name: jobName(installation, spec, 1) };
  };

  /** When Kueue gave each job its quota, epoch milliseconds in whole seconds, by the job's name. */
  const admissions = async (): Promise<Map<string, number>> => {
    const { items } = (await cluster.custom.listNamespacedCustomObject({
      group: 'kueue.x-k8s.io',
      version: 'v1beta2',
      namespace,
      plural: 'workloads',
    })) as { readonly items: readonly Workload[] };
    return new Map(
      items.flatMap(({ metadata, status }) => {
        // Of a workload that has ended too: when it was admitted.
        const admitted = status?.conditions?.find(({ type }) => type === 'Admitted');
        return admitted ? [[metadata.ownerReferences[0]?.name ?? '', Date.parse(admitted.lastTransitionTime)] as const] : [];
      }),
    );
  };

  it('are seen on a cluster that has Kueue', async () => {
    expect(await kueueInstalled(cluster)).toBe(true);
    expect(await clusterQueueExists(cluster, clusterQueue)).toBe(true);
    expect(await clusterQueueExists(cluster, 'another')).toBe(false);
  });

  it('let the single training of one tenant go before the backlog of another', async () => {
    const many = Array.from({ length: 3 * gpus }, (_, i) => follow('many', `c-${i}`));
    await eventually(admissions, (seen) => many.filter(({ name }) => seen.has(name)).length >= gpus);
    const single = follow('single', 'c');
    await eventually(
      () => many.flatMap(({ situations }) => situations).filter(({ state }) => state === 'queued'),
      (waiting) =>
        waiting.some(
          ({ why, queuePosition }) => why === 'waits in queue mw-many: 1 more nvidia.com/gpu must become free' && Number(queuePosition) > 1,
        ),
    );
    for (const { end } of [single, ...many]) expect(await end).toMatchObject({ kind: 'result', result: { class: 'ok' } });
    const at = await admissions();
    const singleAt = at.get(single.name) ?? 0;
    // Those that ran already, and none of the eight that were asked for before.
    expect(many.filter(({ name }) => (at.get(name) ?? 0) < singleAt)).toHaveLength(gpus);
    expect(single.situations.map(({ state }) => state)).toEqual(expect.arrayContaining(['queued', 'running']));
  });

  it('say of a request that is more than there is in all that waiting will not help', async () => {
    const { end, name } = follow('greedy', 'c', 'five');
    const message = 'waits in queue mw-greedy: it asks for 5 nvidia.com/gpu, and all tenants together have 4: choose another resource tier';
    expect(await end).toEqual({ kind: 'result', result: { class: 'bad_options', message } });
    await eventually(
      () => watched.job(name),
      (job) => job === null,
    );
  });
});
