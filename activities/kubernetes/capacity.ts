import type { V1Node, V1ResourceQuota } from '@kubernetes/client-node';
import { type ClusterClient, ask, listAt, statusOf } from './cluster-client.ts';
import { gpuResource } from './job-manifest.ts';
import { type ResourceTier, amountOf } from './resource-tiers.ts';
import { shared } from './shared.ts';

const wanted = (tier: ResourceTier): Readonly<Record<string, number>> => ({
  cpu: amountOf(tier.cpu),
  memory: amountOf(tier.memory),
  ...(tier.gpus > 0 ? { [gpuResource]: tier.gpus } : {}),
});

/** Why no node could run a worker of the tier even if it were empty; null: one could. */
export function tooLargeForNodes(tier: ResourceTier, nodes: readonly V1Node[]): string | null {
  const fitting = nodes.filter(({ metadata }) =>
    Object.entries(tier.nodeSelector).every(([label, value]) => metadata?.labels?.[label] === value),
  );
  if (fitting.length === 0) {
    const labels = Object.entries(tier.nodeSelector).map(([label, value]) => `${label}=${value}`);
    return labels.length === 0
      ? 'the cluster has no nodes'
      : `no node has the labels that tier ${tier.name} asks for: ${labels.join(', ')}`;
  }
  const needs = Object.entries(wanted(tier));
  const enough = fitting.some(({ status }) => needs.every(([name, amount]) => amountOf(status?.allocatable?.[name] ?? '0') >= amount));
  if (enough) return null;
  const short = needs
    .map(([name, amount]) => ({
      name,
      amount,
      most: Math.max(...fitting.map(({ status }) => amountOf(status?.allocatable?.[name] ?? '0'))),
    }))
    .filter(({ amount, most }) => most < amount)
    .map(({ name, amount, most }) => `${amount} ${name}, and the largest node has ${most}`);
  return `tier ${tier.name} asks for ${short.join('; ') || 'more of several resources than any one node has'}`;
}

/** Why a quota of the namespace could never let the job run; null: none forbids it for ever. */
export function tooLargeForQuota(tier: ResourceTier, quotas: readonly V1ResourceQuota[]): string | null {
  for (const { metadata, spec } of quotas)
    for (const [name, amount] of Object.entries(wanted(tier)))
      for (const key of [`requests.${name}`, `limits.${name}`, name]) {
        const hard = spec?.hard?.[key];
        const all = amount * tier.workers;
        if (hard !== undefined && amountOf(hard) < all)
          return `tier ${tier.name} asks for ${all} ${name}, and the namespace's quota ${metadata?.name ?? ''} allows ${hard} in all`;
      }
  return null;
}

/** Nodes and quotas are listed so often at most, for all jobs that wait together: a large cluster's nodes are megabytes. */
const listEveryMs = 60_000;

/** Tells of a request that can never be met why, in words. Null: it may be met, or what is needed to know may not be read. */
export function createCapacity(cluster: ClusterClient): (tier: ResourceTier) => Promise<string | null> {
  const allowed = async <T>(what: string, path: string): Promise<readonly T[] | null> => {
    try {
      return await ask(what, () => listAt<T>(cluster, path));
    } catch (error) {
      if ([401, 403].includes(statusOf(error))) return null;
      throw error;
    }
  };
  const capacity = shared(listEveryMs, async () => ({
    quotas: await allowed<V1ResourceQuota>('list quotas', `/api/v1/namespaces/${cluster.namespace}/resourcequotas`),
    nodes: await allowed<V1Node>('list nodes', '/api/v1/nodes'),
    reasons: new Map<string, string | null>(),
  }));
  return async (tier) => {
    const { quotas, nodes, reasons } = await capacity();
    const known = reasons.get(tier.name);
    if (known !== undefined) return known;
    const reason = (quotas && tooLargeForQuota(tier, quotas)) ?? (nodes && tooLargeForNodes(tier, nodes));
    reasons.set(tier.name, reason);
    return reason;
  };
}
