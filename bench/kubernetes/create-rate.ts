import { createKubernetesExecutor } from '../../activities/kubernetes/kubernetes-executor.ts';
import type { ClusterClient } from '../../activities/kubernetes/cluster-client.ts';
import { jobManifest, specSecret } from '../../activities/kubernetes/job-manifest.ts';
import { oursOf } from '../../activities/kubernetes/labels.ts';
import { watchJobs } from '../../activities/kubernetes/watched-jobs.ts';
import type { JobSpec } from '../../activities/training/executor.ts';
import type { BusinessModel } from '../../catalog/catalog.ts';
import { simulatedSpec } from '../../test/support/simulated-spec.ts';
import { installation, jobSettings, namespace, remoteOf, tier, tiers } from './scene.ts';

export type Rates = {
  /** Jobs a second, one figure a round. */
  readonly bare: number[];
  readonly withSecret: number[];
  readonly executor: number[];
};

/** Requests that are under way at once, in every arm. */
const atOnce = 32;
/** Jobs that nobody admits: no pods, so that creating is all that is measured. */
const queue = 'nobody';

/** How many Jobs a second come to be: by a bare loop, by one that makes a specification for each too, and by the executor; in turn, on the same API server. */
export async function createRate(
  cluster: ClusterClient,
  admin: ClusterClient,
  rounds: number,
  jobs: number,
  trainerFile: string,
): Promise<Rates> {
  const rates: Rates = { bare: [], withSecret: [], executor: [] };
  const watched = watchJobs(cluster, { warn: () => undefined });
  const remote = remoteOf(watched);
  const executor = createKubernetesExecutor({
    cluster,
    watched,
    tiers,
    remote,
    settings: jobSettings,
    catalog: new Map([['simulated', { id: 'simulated', version: '1', trainerFile } as BusinessModel]]),
    queues: { of: () => Promise.resolve(queue), place: () => Promise.resolve(null) },
    clusterGrows: false,
  });
  await watched.ready;
  const resources = tiers.get(tier);
  if (!resources) throw new Error('there is no tier');
  let made = 0;
  const specs = (arm: string): JobSpec[] =>
    Array.from({ length: jobs }, () => simulatedSpec({ tenantId: arm, customizationId: `c-${++made}`, run: 1, attempt: 1, tier }));
  const clear = async (): Promise<void> => {
    const selector = { namespace, labelSelector: oursOf(installation) };
    await admin.batch.deleteCollectionNamespacedJob({ ...selector, propagationPolicy: 'Background' });
    await admin.core.deleteCollectionNamespacedSecret(selector);
    while (watched.jobs().length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
  };
  const timed = async (arm: keyof Rates, work: (of: readonly JobSpec[]) => Promise<void>): Promise<void> => {
    const of = specs(arm.toLowerCase());
    const startedAt = performance.now();
    await work(of);
    rates[arm].push(jobs / ((performance.now() - startedAt) / 1_000));
    await clear();
  };
  const loop = async (of: readonly JobSpec[], create: (spec: JobSpec) => Promise<void>): Promise<void> => {
    const left = [...of];
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (let spec = left.pop(); spec; spec = left.pop()) await create(spec);
      }),
    );
  };
  const createJob = async (spec: JobSpec) =>
    await cluster.batch.createNamespacedJob({ namespace, body: jobManifest(spec, resources, jobSettings, queue) });
  try {
    // The first round warms the API server and this process.
    for (let round = 0; round <= rounds; round++) {
      await timed('bare', async (of) => await loop(of, async (spec) => void (await createJob(spec))));
      await timed(
        'withSecret',
        async (of) =>
          await loop(of, async (spec) => {
            const job = await createJob(spec);
            await cluster.core.createNamespacedSecret({ namespace, body: specSecret(spec, '', job, jobSettings) });
          }),
      );
      await timed('executor', async (of) => {
        const over = new AbortController();
        const following: Promise<unknown>[] = [];
        // A training that is followed is created: the slot is free for the next.
        await loop(
          of,
          async (spec) =>
            await new Promise<void>((created, refused) => {
              following.push(executor.follow(spec, () => created(), over.signal).catch(refused));
            }),
        );
        over.abort();
        await Promise.all(following);
      });
    }
  } finally {
    watched.close();
  }
  for (const figures of Object.values(rates)) figures.shift();
  return rates;
}
