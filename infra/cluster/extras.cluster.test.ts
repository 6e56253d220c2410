import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CustomObjectsApi, KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolvePaths } from '../../platform/paths.ts';
import { type ClusterJobs, clusterJobs, namespace, until } from '../../test/support/cluster-jobs.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { kwokLabel, kwokTaint } from './kwok.ts';
import { clusterPlace } from './place.ts';
import { canRunCluster } from './requirements.ts';
import { stopCluster } from './stop.ts';

const why = canRunCluster();
const simulated = { nodes: 20, gpus: 8 };

describe.skipIf(why !== null)(`the development cluster with Kueue and simulated nodes${why === null ? '' : ` (left out: ${why})`}`, () => {
  let folder: string;
  let cluster: Cluster;
  let jobs: ClusterJobs;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mw-cluster-'));
    cluster = await startCluster({
      home: join(folder, 'cluster'),
      paths: resolvePaths(process.env),
      nodes: 1,
      gpusPerNode: 1,
      trainer: false,
      kueue: true,
      kwok: simulated,
    });
    jobs = clusterJobs(cluster.kubeconfig);
  });
  afterAll(async () => {
    if (!folder) return;
    await stopCluster(clusterPlace(join(folder, 'cluster')));
    await rm(folder, { recursive: true, force: true });
  });

  it('lets Jobs of a queue in one after the other, as its quota allows', async () => {
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    const objects = config.makeApiClient(CustomObjectsApi);
    const [group, version] = ['kueue.x-k8s.io', 'v1beta2'];
    const whole = (kind: string, spec: object): object => ({ apiVersion: `${group}/${version}`, kind, metadata: { name: 'one' }, spec });
    const create = (plural: string, body: object): Promise<unknown> => objects.createClusterCustomObject({ group, version, plural, body });
    await create('resourceflavors', whole('ResourceFlavor', { nodeLabels: { 'modelwright/simulated-gpu': 'true' } }));
    const flavors = [{ name: 'one', resources: [{ name: 'nvidia.com/gpu', nominalQuota: 1 }] }];
    const resourceGroups = [{ coveredResources: ['nvidia.com/gpu'], flavors }];
    await create('clusterqueues', whole('ClusterQueue', { namespaceSelector: {}, resourceGroups }));
    const queue = whole('LocalQueue', { clusterQueue: 'one' });
    await objects.createNamespacedCustomObject({ group, version, plural: 'localqueues', namespace, body: queue });

    const queued = async (name: string, command: string[]): Promise<void> => {
      const container = { name: 'main', image: 'docker.io/modelwright/busybox:1', imagePullPolicy: 'Never', command };
      const spec = { restartPolicy: 'Never', containers: [{ ...container, resources: { limits: { 'nvidia.com/gpu': '1' } } }] };
      const body = { metadata: { name, labels: { 'kueue.x-k8s.io/queue-name': 'one' } }, spec: { suspend: true, template: { spec } } };
      await jobs.batch.createNamespacedJob({ namespace, body });
    };
    const isLetIn = async (name: string): Promise<true | null> =>
      (await jobs.batch.readNamespacedJob({ namespace, name })).spec?.suspend === false ? true : null;
    await queued('first', ['sleep', '1000']);
    await until('the first to be let in', () => isLetIn('first'));
    await queued('second', ['true']);
    await until('the second to be known', async () => {
      const list = (await objects.listNamespacedCustomObject({ group, version, plural: 'workloads', namespace })) as { items: unknown[] };
      return list.items.length === 2 ? true : null;
    });
    expect(await isLetIn('second')).toBeNull();
    await jobs.batch.deleteNamespacedJob({ namespace, name: 'first', propagationPolicy: 'Foreground' });
    await until('the second to be let in', () => isLetIn('second'));
    await until('the end of the second', async () =>
      (await jobs.batch.readNamespacedJob({ namespace, name: 'second' })).status?.succeeded === 1 ? true : null,
    );
  });

  it('completes Jobs on nodes that are simulated, and there only those that ask for it', async () => {
    const { items } = await jobs.core.listNode({ labelSelector: 'type=kwok' });
    expect(items).toHaveLength(simulated.nodes);
    const gpus = { resources: { limits: { 'nvidia.com/gpu': '4' } } };
    const pod = { nodeSelector: kwokLabel, tolerations: [{ key: kwokTaint.key, operator: 'Exists' }] };
    await jobs.create('simulated', { command: ['false'], ...gpus }, pod, { completions: 40, parallelism: 40 });
    await until('the end of forty simulated pods', async () =>
      (await jobs.batch.readNamespacedJob({ namespace, name: 'simulated' })).status?.succeeded === 40 ? true : null,
    );
    const pods = await jobs.core.listNamespacedPod({ namespace, labelSelector: 'job=simulated' });
    expect(new Set(pods.items.map(({ spec }) => spec?.nodeName?.split('-')[0]))).toEqual(new Set(['kwok']));
  });
});
