import { type ClusterClient, ClusterRefused, ask, isMissing, isTaken, reasonOf, statusOf } from './cluster-client.ts';
import { managedBy, managedByUs, tenantLabel, tenantValue } from './labels.ts';

const group = 'kueue.x-k8s.io';
const version = 'v1beta2';

type Workload = {
  readonly metadata?: { readonly name?: string; readonly creationTimestamp?: string };
  readonly spec?: { readonly queueName?: string };
  readonly status?: { readonly conditions?: readonly { type: string; status: string; reason?: string; message?: string }[] };
};

/** Kueue: every tenant has a queue of its own, and all of them draw on one ClusterQueue, which shares fairly. */
export type TenantQueues = {
  /** The name of the tenant's LocalQueue, made when it is missing. Key: the name. */
  readonly of: (tenantId: string) => Promise<string>;
  /** Why a job waits, and the how manieth of its tenant it is. */
  readonly place: (jobUid: string, tenantId: string) => Promise<{ readonly why: string; readonly position: number | null } | null>;
};

/** Whether Kueue's kinds are there. */
export async function kueueInstalled(cluster: ClusterClient): Promise<boolean> {
  try {
    await ask('look for Kueue', () =>
      cluster.custom.listNamespacedCustomObject({ group, version, namespace: cluster.namespace, plural: 'localqueues' }),
    );
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw new ClusterRefused(
      `whether Kueue is installed cannot be seen (${reasonOf(error)}): apply the roles of \`mw cluster manifests\`, or set MW_JOB_QUEUE=none`,
      { cause: error },
    );
  }
}

/** A missing permission to look says nothing: the first Job tells. */
export async function clusterQueueExists(cluster: ClusterClient, name: string): Promise<boolean> {
  try {
    await ask('read the cluster queue', () => cluster.custom.getClusterCustomObject({ group, version, plural: 'clusterqueues', name }));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    if (statusOf(error) === 403) return true;
    throw new ClusterRefused(`ClusterQueue ${name} cannot be read (${reasonOf(error)})`, { cause: error });
  }
}

export function createTenantQueues(cluster: ClusterClient, clusterQueue: string): TenantQueues {
  const { namespace } = cluster;
  const known = new Set<string>();
  const nameOf = (tenantId: string): string => `mw-${tenantValue(tenantId)}`.slice(0, 63).replace(/-+$/, '');
  return {
    of: async (tenantId) => {
      const name = nameOf(tenantId);
      if (known.has(name)) return name;
      const body = {
        apiVersion: `${group}/${version}`,
        kind: 'LocalQueue',
        metadata: { name, namespace, labels: { [managedBy]: managedByUs, [tenantLabel]: tenantValue(tenantId) } },
        spec: { clusterQueue },
      };
      await ask(`create queue ${name}`, () =>
        cluster.custom.createNamespacedCustomObject({ group, version, namespace, plural: 'localqueues', body }),
      ).catch((error: unknown) => {
        if (!isTaken(error)) throw error;
      });
      known.add(name);
      return name;
    },
    place: async (jobUid, tenantId) => {
      const queue = nameOf(tenantId);
      try {
        const { items } = (await ask('list workloads', () =>
          cluster.custom.listNamespacedCustomObject({ group, version, namespace, plural: 'workloads' }),
        )) as { readonly items: readonly (Workload & { readonly metadata?: { readonly labels?: Record<string, string> } })[] };
        const waiting = items
          .filter(({ spec, status }) => spec?.queueName === queue && !isTrue(status, 'Admitted') && !isTrue(status, 'Finished'))
          .sort((a, b) => (a.metadata?.creationTimestamp ?? '').localeCompare(b.metadata?.creationTimestamp ?? ''));
        const at = waiting.findIndex(({ metadata }) => metadata?.labels?.['kueue.x-k8s.io/job-uid'] === jobUid);
        const reserved = waiting[at]?.status?.conditions?.find(({ type }) => type === 'QuotaReserved');
        return { why: `waits in queue ${queue}${reserved?.message ? `: ${reserved.message}` : ''}`, position: at < 0 ? null : at + 1 };
      } catch (error) {
        if (statusOf(error) === 403) return null;
        throw error;
      }
    },
  };
}

const isTrue = (status: Workload['status'], type: string): boolean =>
  status?.conditions?.some((one) => one.type === type && one.status === 'True') ?? false;
