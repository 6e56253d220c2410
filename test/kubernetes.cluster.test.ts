import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { applyText } from '../cli/cluster.ts';
import { manifestsText } from '../cli/cluster-manifests.ts';
import type { Run } from '../cli/api-types.ts';
import { readRows } from '../cli/demo/demo-data.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { endedRunStates } from '../core/run.ts';
import { type Cluster, startCluster } from '../infra/cluster/cluster.ts';
import { canRunCluster } from '../infra/cluster/requirements.ts';
import { trainerImageName } from '../infra/images/trainer-image.ts';
import { demoDataFile } from '../infra/local/demo-data.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { resolvePaths } from '../platform/paths.ts';
import { type CliHome, makeCliHome } from './support/cli-home.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';

const why = canRunCluster();

describe.skipIf(why !== null)(`the whole main job with training in pods${why === null ? '' : ` (${why})`}`, () => {
  let home: CliHome;
  beforeAll(async () => {
    home = await makeCliHome();
  });
  afterAll(async () => {
    await home?.mw(['cluster', 'down']);
    await home?.remove();
  });

  it('`mw demo --executor kubernetes` brings up a cluster, trains on it, and promotes two versions', async () => {
    const some = (await readRows(demoDataFile(resolvePaths(process.env)))).filter((_, i) => i % 7 === 0);
    const file = join(home.folder, 'articles.jsonl');
    await writeFile(file, some.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { status, output } = await home.mw(['demo', '--executor', 'kubernetes', '--data', file]);
    const why = status === 0 ? '' : (await home.shell('./mw logs training')).output;
    expect(`${output}\n${why}\nstatus ${status}`).toContain('status 0');
    expect(output).toMatch(/v2 +(?:[89]\d\.\d|100\.0) %/);
    const cluster = await home.mw(['cluster', 'status', '--json']);
    expect(JSON.parse(cluster.output)).toMatchObject({ phase: 'running', nodes: 2 });
    // What trained is what the nodes ran: the worker says where, and no local process was started.
    const log = await home.shell('./mw logs training');
    expect(log.output).toContain('trainings run as Jobs on the cluster');
  });
});

const narrow = { cpu: '900m', memory: '200Mi', disk: '2Gi', next: 'small' };
const small = { cpu: '900m', memory: '2Gi', disk: '6Gi', gpus: 1 };
const jobsPort = 29_000;

describe.skipIf(why !== null)('runs on a cluster', () => {
  let cluster: Cluster;
  let stack: TestStack;
  let pool: Pool;
  let core: CoreV1Api;
  let folder: string;
  const namespace = 'modelwright-training';

  beforeAll(async () => {
    const paths = resolvePaths(process.env);
    folder = await mkdtemp(join(tmpdir(), 'mw-runs-'));
    cluster = await startCluster({ home: join(folder, 'cluster'), paths });
    const endpoint = `http://${cluster.hostAddress}:${jobsPort}`;
    await applyText(cluster, await manifestsText(namespace, endpoint, {}));
    await writeFile(join(folder, 'tiers.json'), JSON.stringify({ narrow, small, medium: small }));
    stack = await startTestStack({
      engines: engineNames,
      services: serviceNames,
      env: {
        MW_EXECUTOR: 'kubernetes',
        MW_KUBECONFIG: cluster.kubeconfig,
        MW_JOB_IMAGE: trainerImageName(paths),
        MW_S3_JOBS_ENDPOINT: endpoint,
        MW_RESOURCE_TIERS: join(folder, 'tiers.json'),
      },
    });
    await cluster.forwardFromPods(stack.config.settings.MW_S3_PORT, jobsPort);
    pool = createPool(stack.config);
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    core = config.makeApiClient(CoreV1Api);
  });
  afterAll(async () => {
    await pool?.end();
    await stack?.remove();
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const pods = async () => (await core.listNamespacedPod({ namespace })).items;
  const made = (tenant: string, options: Record<string, unknown>): Promise<LiveTenant> =>
    LiveTenant.make(stack, pool, tenant, { quietPeriodMs: 1_000 }, { businessModel: 'text-classification', options });

  it('pause and leave no pod, outlive their worker, go on from the checkpoint, and tell what they used', async () => {
    const tenant = await made('pausing', { method: 'full', epochs: 8 });
    await tenant.submit(sentences(0, 400));
    const stepOf = async (attempt: number): Promise<number | null> => {
      const run = (await tenant.runs())[0];
      const progress = run?.progress;
      // What the first attempt told last is shown until the second one's job tells more.
      const tells = run?.attempt === attempt && progress?.job?.state === 'running';
      return tells && progress.phase === 'train' && progress.step >= 5 ? progress.step : null;
    };
    const before = await eventually('five steps of the training', () => stepOf(1), 300_000);
    expect((await pods()).map(({ status }) => status?.phase)).toEqual(['Running']);

    const path = `/v1/customizations/${tenant.c}/runs/1`;
    expect(await tenant.api.call('POST', `${path}:pause`, { reason: 'the GPU is needed' })).toMatchObject({ run: 1 });
    expect(await pods()).toEqual([]);
    const paused = await tenant.api.call<Run>('GET', path);
    expect(paused).toMatchObject({ paused: { reason: 'the GPU is needed' } });
    expect(paused.gpuSeconds).toBeGreaterThan(1);
    await tenant.api.call('POST', `${path}:resume`, {});
    const after = await eventually('the second attempt', () => stepOf(2), 300_000);
    expect(after).toBeGreaterThanOrEqual(before);

    const [pod] = await pods();
    stack.kill('training', 'SIGKILL');
    const run = await tenant.reaches(endedRunStates, 1, 400_000);
    expect(run).toMatchObject({ state: 'succeeded', attempt: 2 });
    // The same pod, or none any more: it was adopted, not doubled.
    expect([pod?.metadata?.name]).toEqual(expect.arrayContaining((await pods()).map(({ metadata }) => metadata?.name)));
    expect(run.gpuSeconds).toBeGreaterThan(Number(paused.gpuSeconds) + 1);
  });

  it('that run out of memory take smaller batches and then a larger tier', async () => {
    const tenant = await made('narrow', { resourceTier: 'narrow' });
    await tenant.submit(sentences(0, 60));
    const run = await tenant.reaches(endedRunStates, 1, 400_000);
    expect(run).toMatchObject({ state: 'succeeded', attempt: 5 });
  });

  it('with a tier that there is not fail and name those that there are', async () => {
    const tenant = await made('unknown', { resourceTier: 'enormous' });
    await tenant.submit(sentences(0, 60));
    const run = await tenant.reaches(endedRunStates, 1, 120_000);
    expect(run).toMatchObject({ state: 'failed', failureClass: 'bad_options', reason: expect.stringContaining('narrow, small, medium') });
  });
});
