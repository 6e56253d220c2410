import type { Catalog } from '../../catalog/catalog.ts';
import { nowMs } from '../../platform/clock.ts';
import type { Settings } from '../../platform/config.ts';
import { ClusterRefused, type ClusterClient, isMissing, reasonOf, statusOf } from './cluster-client.ts';
import { tooLargeForNodes } from './capacity.ts';
import { type Rule, permissions, queuePermissions } from './manifests.ts';
import type { ResourceTiers } from './resource-tiers.ts';
import { clusterQueueExists, kueueInstalled } from './tenant-queues.ts';

export type ClusterProblem = { readonly problem: string; readonly remedy: string };

const defaultQueue = 'modelwright';
/** Jobs start where nodes and we agree on the time: presigned addresses are valid from when they were made. */
const clockSkewMs = 60_000;
const applyManifests = 'apply what `./mw cluster manifests` prints (docs/06-kubernetes.md)';

/**
 * What keeps trainings from running on the cluster, all of it, each with its remedy; nothing is made. `clusterQueue`: Kueue's queue that
 * admits the jobs; null: none does.
 */
export async function checkCluster(
  cluster: ClusterClient,
  settings: Pick<Settings, 'MW_JOB_QUEUE' | 'MW_JOB_IMAGE' | 'MW_CLUSTER_GROWS'>,
  tiers: ResourceTiers,
  catalog: Catalog,
): Promise<{ readonly problems: readonly ClusterProblem[]; readonly clusterQueue: string | null }> {
  const problems: ClusterProblem[] = [];
  const none = { problems, clusterQueue: null };
  if (settings.MW_JOB_IMAGE === undefined)
    problems.push({
      problem: 'MW_JOB_IMAGE is not set',
      remedy: 'build infra/images/trainer.Dockerfile, push it to a registry of yours, and set MW_JOB_IMAGE to its name',
    });
  const unknown = [...catalog.values()].filter(({ resources }) => !tiers.has(resources.tier));
  for (const { id, resources } of unknown)
    problems.push({
      problem: `business model ${id} asks for resource tier ${resources.tier}, which there is not (${[...tiers.keys()].join(', ')})`,
      remedy: 'add it to the file of MW_RESOURCE_TIERS',
    });
  try {
    await cluster.version.getCode();
  } catch (error) {
    const refused = [401, 403].includes(statusOf(error));
    problems.push({
      problem: `the API server ${cluster.server} ${refused ? 'does not accept our credentials' : 'does not answer'} (${reasonOf(error)})`,
      remedy: refused
        ? 'renew the credentials in the kubeconfig (MW_KUBECONFIG)'
        : 'check the address in the kubeconfig (MW_KUBECONFIG), and the network between',
    });
    return none;
  }
  const lacking = await lackingPermissions(cluster, permissions);
  if (lacking.length > 0)
    problems.push({
      problem: `the kubeconfig's account may not ${lacking.join(', ')} in namespace ${cluster.namespace}`,
      remedy: applyManifests,
    });
  try {
    await cluster.core.readNamespace({ name: cluster.namespace });
  } catch (error) {
    if (isMissing(error)) problems.push({ problem: `there is no namespace ${cluster.namespace}`, remedy: applyManifests });
    // Without permission to look, the first Job tells.
    else if (statusOf(error) !== 403)
      problems.push({ problem: `namespace ${cluster.namespace} cannot be read (${reasonOf(error)})`, remedy: applyManifests });
  }
  const skewMs = await clockSkew(cluster);
  if (Math.abs(skewMs) > clockSkewMs)
    problems.push({
      problem: `our clock and the cluster's differ by ${Math.round(Math.abs(skewMs) / 1_000)} s`,
      remedy: 'set both by NTP: addresses that jobs get are valid from when they were made',
    });
  if (settings.MW_CLUSTER_GROWS === 'off' && problems.length === 0) {
    const nodes = await cluster.core.listNode().catch(() => null);
    const used = new Set([...catalog.values()].map(({ resources }) => resources.tier));
    for (const tier of tiers.values()) {
      const why = nodes && used.has(tier.name) ? tooLargeForNodes(tier, nodes.items) : null;
      if (why) problems.push({ problem: why, remedy: 'change the tier in the file of MW_RESOURCE_TIERS, or set MW_CLUSTER_GROWS=on' });
    }
  }
  return { problems, clusterQueue: await chosenQueue(cluster, settings.MW_JOB_QUEUE, problems) };
}

async function chosenQueue(cluster: ClusterClient, asked: string, problems: ClusterProblem[]): Promise<string | null> {
  if (asked === 'none') return null;
  try {
    if (!(await kueueInstalled(cluster))) {
      if (asked !== 'auto')
        problems.push({
          problem: `MW_JOB_QUEUE names the ClusterQueue ${asked}, and Kueue is not installed on the cluster`,
          remedy: 'install Kueue, or set MW_JOB_QUEUE=none',
        });
      return null;
    }
    const lacking = await lackingPermissions(cluster, queuePermissions);
    if (lacking.length > 0) {
      problems.push({
        problem: `Kueue is installed, and the kubeconfig's account may not ${lacking.join(', ')} in namespace ${cluster.namespace}`,
        remedy: 'apply what `./mw cluster manifests --kueue` prints, or set MW_JOB_QUEUE=none',
      });
      return null;
    }
    const name = asked === 'auto' ? defaultQueue : asked;
    if (await clusterQueueExists(cluster, name)) return name;
    problems.push({ problem: `Kueue has no ClusterQueue ${name}`, remedy: `${applyManifests}, or name another by MW_JOB_QUEUE, or none` });
  } catch (error) {
    if (!(error instanceof ClusterRefused)) throw error;
    problems.push({ problem: error.message, remedy: applyManifests });
  }
  return null;
}

/** What the account may not do of what it must, by asking the API server. */
async function lackingPermissions(cluster: ClusterClient, rules: readonly Rule[]): Promise<string[]> {
  const lacking: string[] = [];
  for (const { apiGroups, resources, verbs } of rules)
    for (const full of resources)
      for (const verb of verbs) {
        const [resource = '', subresource = ''] = full.split('/');
        const resourceAttributes = {
          namespace: cluster.namespace,
          group: apiGroups[0] ?? '',
          resource,
          verb,
          ...(subresource === '' ? {} : { subresource }),
        };
        const { status } = await cluster.authorization.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } });
        if (status?.allowed !== true) lacking.push(`${verb} ${full}`);
      }
  return lacking;
}

/** Ours minus the API server's, by the Date of an answer. */
async function clockSkew(cluster: ClusterClient): Promise<number> {
  const answer = await cluster.stream('/version', {}, AbortSignal.timeout(10_000));
  answer.resume();
  const at = Date.parse(answer.headers.date ?? '');
  return Number.isNaN(at) ? 0 : nowMs() - at;
}
