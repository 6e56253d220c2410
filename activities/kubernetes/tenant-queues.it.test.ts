import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubernetesObjectApi, KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BusinessModel } from '../../catalog/catalog.ts';
import type { JobSituation } from '../../core/run.ts';
import { simulatedSpec } from '../../test/support/simulated-spec.ts';
import { simulatedStore } from '../../test/support/simulated-store.ts';
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

const namespace = 'queues-test';
const installation = 'queues';
const clusterQueue = 'queues-test';
const gpus = 4;
const kubeconfig = process.env['TEST_KUBECONFIG'] ?? '';

let folder: string;
let cluster: ClusterClient;
let watched: WatchedJobs;
let executor: TrainingExecutor;

type Followed = { readonly situations: JobSituation[]; readonly end: Promise<JobEnd>; readonly name: string };

const none = { presignGet: () => Promise.resolve('none'), presignPut: () => Promise.resolve('none') };
const over = new AbortController();

/** A training by the executor, from its creation to its end. */
function follow(tenantId: string, customizationId: string, tier = 'one'): Followed {
  const spec = simulatedSpec({ tenantId, customizationId, run: 1, attempt: 1, tier });
  const situations: JobSituation[] = [];
  const end = executor.follow(spec, ({ job }) => void (job && situations.push(job)), over.signal);
  end.catch(() => undefined);
  return { situations, end, name: jobName(installation, spec, 1) };
}

type Workload = {
  readonly metadata: { readonly ownerReferences: readonly { readonly name: string }[] };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string; readonly lastTransitionTime: string }[] };
};
/** When Kueue gave each job its quota, epoch milliseconds by the job's name. */
async function admissions(): Promise<Map<string, number>> {
  const { items } = (await cluster.custom.listNamespacedCustomObject({
    group: 'kueue.x-k8s.io',
    version: 'v1beta2',
    namespace,
    plural: 'workloads',
  })) as { readonly items: readonly Workload[] };
  return new Map(
    items.flatMap(({ metadata, status }) => {
      const reserved = status?.conditions?.find(({ type }) => type === 'QuotaReserved');
      return reserved ? [[metadata.ownerReferences[0]?.name ?? '', Date.parse(reserved.lastTransitionTime)] as const] : [];
    }),
  );
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-queues-'));
  const trainerFile = join(folder, 'trainer.py');
  await writeFile(trainerFile, '');
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const objects = KubernetesObjectApi.makeApiClient(config);
  const manifests = clusterManifests({
    namespace,
    s3: { cidr: '10.0.0.1', port: 443 },
    quota: { gpus: null, cpu: null, memory: null },
    kueue: { clusterQueue, gpus, cpu: '64', memory: '512Gi' },
  });
  for (const manifest of manifests) await objects.create(manifest as Parameters<typeof objects.create>[0]).catch((e)=>{ if (e.code!==409) throw e; });
  cluster = connectCluster(kubeconfig, namespace, installation);
  watched = watchJobs(cluster, { warn: () => undefined });
  const complete = (job: string): boolean =>
    watched.job(job)?.status?.conditions?.some(({ type, status }) => type === 'Complete' && status === 'True') ?? false;
  const nowhere = { tolerations: [{ key: 'kwok.x-k8s.io/node', operator: 'Exists' }], nodeSelector: { type: 'kwok' } };
  executor = createKubernetesExecutor({
    cluster,
    watched,
    tiers: parseTiers(
      {
        one: { cpu: '1', memory: '1Gi', disk: '1Gi', gpus: 1, ...nowhere },
        five: { cpu: '1', memory: '1Gi', disk: '1Gi', gpus: 1, workers: 5, ...nowhere },
      },
      'the test',
    ),
    settings: { namespace, installation, image: 'none', imagePullPolicy: 'Never', deadlineSeconds: 600, keepSeconds: 600 },
    remote: createRemoteJobs(simulatedStore((key) => complete(jobName(installation, key, key.attempt)), none), none),
    catalog: new Map([['simulated', { id: 'simulated', version: '1', trainerFile } as BusinessModel]]),
    queues: createTenantQueues(cluster, clusterQueue),
    clusterGrows: false,
  });
}, 300_000);

afterAll(async () => {
  over.abort();
  watched?.close();
  await rm(folder, { recursive: true, force: true });
});

describe('queues of tenants', () => {
  it('are seen on a cluster that has Kueue', async () => {
    expect(await kueueInstalled(cluster)).toBe(true);
    expect(await clusterQueueExists(cluster, clusterQueue)).toBe(true);
    expect(await clusterQueueExists(cluster, 'another')).toBe(false);
  });

  it('let the single training of one tenant go before the backlog of another', async () => {
    const many = Array.from({ length: 12 }, (_, i) => follow('many', `c-${i}`));
    await eventually(admissions, (seen) => many.filter(({ name }) => seen.has(name)).length >= gpus);
    const single = follow('single', 'c');
    await eventually(
      () => many.map(({ situations }) => situations.at(-1)).filter((now) => now?.state === 'queued'),
      (waiting) => waiting.some((now) => (now?.queuePosition ?? 0) > gpus && now?.why?.includes('nvidia.com/gpu') === true),
    );

    await Promise.all([single, ...many].map(({ end }) => end));
    const at = await admissions();
    const order = many.map(({ name }) => at.get(name) ?? 0).sort((a, b) => a - b);
    const singleAt = at.get(single.name) ?? 0;
    expect(singleAt).toBeGreaterThan(0);
    expect(order.filter((one) => one < singleAt).length).toBe(gpus);
    for (const { end } of [single, ...many]) expect(await end).toMatchObject({ kind: 'result', result: { class: 'ok' } });
    expect(single.situations.map(({ state }) => state)).toContain('running');
  }, 120_000);

  it('say at once that more was asked for than there is in all', async () => {
    const { end, name } = follow('greedy', 'c', 'five');
    expect(await end).toMatchObject({ kind: 'result', result: { class: 'bad_options', message: expect.stringContaining('nvidia.com/gpu') } });
    console.log(await end);
    await eventually(
      () => watched.job(name),
      (job) => job === null,
    );
  }, 60_000);
});
