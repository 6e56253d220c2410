import type { V1Job } from '@kubernetes/client-node';
import { sleep } from '../../platform/clock.ts';
import { failure } from '../failure.ts';
import type { JobSpec } from '../training/executor.ts';
import { jobText } from '../training/job-text.ts';
import { type ClusterClient, ask, createUnlessThere, isTaken, readJob, reasonOf, statusOf } from './cluster-client.ts';
import { type JobSettings, jobManifest, specSecret, workersPolicy, workersService } from './job-manifest.ts';
import { jobAnnotation, jobName, managedBy, managedByUs } from './labels.ts';
import type { ResourceTier } from './resource-tiers.ts';

/** A job of that name that is being deleted is waited for. */
const goneEveryMs = 1_000;

/** Throws for a job that has our name by chance: it is never adopted, and never deleted. */
function refuseForeign(cluster: ClusterClient, job: V1Job, spec: JobSpec): void {
  const { name = '', labels = {}, annotations = {} } = job.metadata ?? {};
  if (labels[managedBy] === managedByUs && annotations[jobAnnotation] === jobText(spec, spec.attempt)) return;
  throw failure(
    'BadOptions',
    `a Job ${name} that Modelwright did not make is in namespace ${cluster.namespace}: delete or rename it, or set MW_JOB_NAMESPACE to a namespace of our own`,
  );
}

/**
 * The job of the attempt: made, or found and adopted, and everything that it needs beside it. Key: the job's name. Dying between two requests
 * leaves a job that waits for its specification; whoever comes next completes it. What belongs to the job is deleted with it.
 */
export async function createOrAdopt(
  cluster: ClusterClient,
  spec: JobSpec,
  trainerSource: string,
  tier: ResourceTier,
  settings: JobSettings,
  localQueue: string | null,
  /** False: nothing is known of a job of that name; it is looked for only where making it says that there is one. */
  known: boolean,
  signal: AbortSignal,
): Promise<V1Job> {
  const name = jobName(cluster.installation, spec, spec.attempt);
  let look = known;
  for (;;) {
    signal.throwIfAborted();
    const found = look ? await readJob(cluster, name) : null;
    look = true;
    if (found) {
      refuseForeign(cluster, found, spec);
      if (found.metadata?.deletionTimestamp !== undefined) {
        await sleep(goneEveryMs, undefined, { signal });
        continue;
      }
    }
    try {
      const job =
        found ??
        (await ask(`create job ${name}`, () =>
          cluster.batch.createNamespacedJob({ namespace: cluster.namespace, body: jobManifest(spec, tier, settings, localQueue) }),
        ));
      await complete(cluster, spec, trainerSource, tier, job, settings);
      return job;
    } catch (error) {
      // Made by another worker, or by a request whose answer was lost.
      if (isTaken(error)) continue;
      if (statusOf(error) === 403 && /exceeded quota/.test(reasonOf(error))) {
        await sleep(goneEveryMs, undefined, { signal });
        continue;
      }
      if ([401, 403, 422, 400, 404].includes(statusOf(error)))
        throw failure('BadOptions', `the cluster refused job ${name}: ${reasonOf(error)}`);
      throw error;
    }
  }
}

/** The specification is written again for an adopted job too: its addresses hold anew. */
async function complete(
  cluster: ClusterClient,
  spec: JobSpec,
  trainerSource: string,
  tier: ResourceTier,
  job: V1Job,
  settings: JobSettings,
): Promise<void> {
  const { namespace } = cluster;
  const secret = specSecret(spec, trainerSource, job, settings);
  const name = secret.metadata?.name ?? '';
  if (!(await createUnlessThere(`create secret ${name}`, () => cluster.core.createNamespacedSecret({ namespace, body: secret }))))
    await ask(`renew secret ${name}`, () => cluster.core.replaceNamespacedSecret({ namespace, name, body: secret }));
  if (tier.workers === 1) return;
  await createUnlessThere(`create service ${name}`, () =>
    cluster.core.createNamespacedService({ namespace, body: workersService(spec, job, settings) }),
  );
  await createUnlessThere(`create policy ${name}`, () =>
    cluster.networking.createNamespacedNetworkPolicy({ namespace, body: workersPolicy(spec, job, settings) }),
  );
}
