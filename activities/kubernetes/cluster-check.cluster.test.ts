import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog, type Catalog } from '../../catalog/catalog.ts';
import { applyText } from '../../cli/cluster.ts';
import { manifestsText } from '../../cli/cluster-manifests.ts';
import { type Cluster, startCluster } from '../../infra/cluster/cluster.ts';
import { canRunCluster } from '../../infra/cluster/requirements.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { workerKubeconfig } from '../../test/support/worker-kubeconfig.ts';
import { checkCluster } from './cluster-check.ts';
import { connectCluster } from './cluster-client.ts';
import { workerAccount } from './manifests.ts';
import { loadResourceTiers, parseTiers } from './resource-tiers.ts';

const why = canRunCluster();
const namespace = 'modelwright-training';
const settings = { MW_JOB_QUEUE: 'auto', MW_JOB_IMAGE: 'docker.io/nobody/trainer:1', MW_CLUSTER_GROWS: 'off' } as const;

describe.skipIf(why !== null)(`what is said of a cluster before anything is made on it${why === null ? '' : ` (${why})`}`, () => {
  let folder: string;
  let cluster: Cluster;
  let catalog: Catalog;
  const kubectl = (...args: string[]) => promisify(execFile)(cluster.kubectl, ['--kubeconfig', cluster.kubeconfig, ...args]);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mw-check-'));
    catalog = await loadCatalog();
    cluster = await startCluster({ home: join(folder, 'cluster'), paths: resolvePaths(process.env), nodes: 1, trainer: false });
  });
  afterAll(async () => {
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const check = async (
    more: Partial<Parameters<typeof checkCluster>[1]> = {},
    kubeconfig = cluster.kubeconfig,
    tiers = loadResourceTiers(undefined),
  ) => await checkCluster(connectCluster(kubeconfig, namespace, 'test'), { ...settings, ...more }, tiers, catalog);
  const said = async (...args: Parameters<typeof check>): Promise<string[]> =>
    (await check(...args)).problems.map(({ problem }) => problem);

  it('names all that is missing, each with a remedy, step by step until nothing is', async () => {
    expect(await said({ MW_JOB_IMAGE: undefined })).toEqual(['MW_JOB_IMAGE is not set', `there is no namespace ${namespace}`]);
    const manifests = await manifestsText(namespace, '10.0.0.0/24:443', {});
    await applyText(cluster, manifests);
    expect(await check()).toEqual({ problems: [], clusterQueue: null });

    const admin = new KubeConfig();
    admin.loadFromFile(cluster.kubeconfig);
    const kubeconfig = join(folder, 'worker.kubeconfig');
    await writeFile(kubeconfig, await workerKubeconfig(admin, admin.makeApiClient(CoreV1Api), namespace));
    expect(await said({}, kubeconfig)).toEqual([]);
    await kubectl('-n', namespace, 'delete', 'rolebinding', workerAccount);
    const [lacking = ''] = await said({}, kubeconfig);
    expect(lacking).toMatch(/may not create jobs, .*list pods, .*get pods\/log.* in namespace modelwright-training/);
    await applyText(cluster, manifests);
    expect(await said({}, kubeconfig)).toEqual([]);
  });

  it('names a queue without Kueue, tiers that business models ask for and that there are not, and tiers that fit no node', async () => {
    expect(await said({ MW_JOB_QUEUE: 'trainings' })).toEqual([
      'MW_JOB_QUEUE names the ClusterQueue trainings, and Kueue is not installed on the cluster',
    ]);
    const huge = { cpu: '512', memory: '1Gi', disk: '1Gi' };
    const few = await said({}, cluster.kubeconfig, parseTiers({ small: huge }, 'test'));
    expect(few).toEqual([expect.stringContaining('causal-lm-sft asks for resource tier medium, which there is not (small)')]);
    const large = parseTiers({ small: huge, medium: { ...huge, cpu: '1' } }, 'test');
    expect(await said({}, cluster.kubeconfig, large)).toEqual([
      expect.stringMatching(/^tier small asks for 512 cpu, and the largest node has \d+/),
    ]);
    expect(await said({ MW_CLUSTER_GROWS: 'on' }, cluster.kubeconfig, large)).toEqual([]);
  });

  it('names credentials that are not accepted, and a server that does not answer', async () => {
    const { stdout } = await kubectl('config', 'view', '--raw', '-o', 'json');
    const config = JSON.parse(stdout) as { clusters: { cluster: { server: string } }[]; users: { user: object }[] };
    const written = async (name: string, change: () => void): Promise<string> => {
      change();
      await writeFile(join(folder, name), JSON.stringify(config));
      return join(folder, name);
    };
    const stranger = await written('stranger', () => (config.users[0]!.user = { token: 'nobody' }));
    expect(await said({}, stranger)).toEqual([expect.stringContaining('does not accept our credentials')]);
    const nowhere = await written('nowhere', () => (config.clusters[0]!.cluster.server = 'https://127.0.0.1:1'));
    expect(await said({}, nowhere)).toEqual([expect.stringContaining('https://127.0.0.1:1 does not answer')]);
  });
});
