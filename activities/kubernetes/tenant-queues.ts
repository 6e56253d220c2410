import { type ClusterClient, ClusterRefused, ask, createUnlessThere, isMissing, listAt, reasonOf, statusOf } from './cluster-client.ts';
import { managedBy, managedByUs, tenantLabel, tenantValue } from './labels.ts';
import { queueWords } from './queue-words.ts';
import { shared } from './shared.ts';

const group = 'kueue.x-k8s.io';
const version = 'v1beta2';
const lookMs = 10_000;

type Workload = {
  readonly metadata?: { readonly name?: string; readonly creationTimestamp?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: { readonly queueName?: string };
  readonly status?: { readonly conditions?: readonly { type: string; status: string; reason?: string; message?: string }[] };
};

/** Jobs that wait ask of their queues every few seconds each: so long one answer serves all of them. */
const listEveryMs = 2_500;
const jobUidLabel = 'kueue.x-k8s.io/job-uid';

export type QueuePlace = {
  readonly why: string;
  readonly position: number | null;
  /** It asks for more than there is in all: waiting will not help. */
  readonly impossible: boolean;
};

/** Kueue: every tenant has a queue of its own, and all of them draw on one ClusterQueue, which shares fairly. */
export type TenantQueues = {
  /** The name of the tenant's LocalQueue, made when it is missing. Key: the name. */
  readonly of: (tenantId: string) => Promise<string>;
  /** Why a job waits, and the how manieth of its tenant it is. */
  readonly place: (jobUid: string, tenantId: string) => Promise<QueuePlace | null>;
};

/** Whether Kueue's kinds are there: everybody may ask that. */
export async function kueueInstalled(cluster: ClusterClient): Promise<boolean> {
  try {
    const answer = await ask('look for Kueue', () => cluster.stream(`/apis/${group}`, {}, AbortSignal.timeout(lookMs)));
    answer.resume();
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw new ClusterRefused(`whether Kueue is installed cannot be seen (${reasonOf(error)})`, { cause: error });
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
  const workloads = shared(listEveryMs, () => waitingWorkloads(cluster));
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
      await createUnlessThere(`create queue ${name}`, () =>
        cluster.custom.createNamespacedCustomObject({ group, version, namespace, plural: 'localqueues', body }),
      );
      known.add(name);
      return name;
    },
    place: async (jobUid, tenantId) => {
      const queue = nameOf(tenantId);
      try {
        const waiting = (await workloads()).get(queue) ?? [];
        const at = waiting.findIndex(({ metadata }) => metadata?.labels?.[jobUidLabel] === jobUid);
        const message = waiting[at]?.status?.conditions?.find(({ type }) => type === 'QuotaReserved')?.message ?? '';
        const { why, impossible } = queueWords(message);
        return { why: `waits in queue ${queue}${why === '' ? '' : `: ${why}`}`, position: at < 0 ? null : at + 1, impossible };
      } catch (error) {
        if (statusOf(error) === 403) return null;
        throw error;
      }
    },
  };
}

/** The workloads that wait, by queue, the oldest first. */
async function waitingWorkloads(cluster: ClusterClient): Promise<ReadonlyMap<string, readonly Workload[]>> {
  const path = `/apis/${group}/${version}/namespaces/${cluster.namespace}/workloads`;
  const items = await ask('list workloads', () => listAt<Workload>(cluster, path));
  const waiting = items.filter(({ status }) => !isTrue(status, 'Admitted') && !isTrue(status, 'Finished'));
  const made = ({ metadata }: Workload): string => `${metadata?.creationTimestamp ?? ''} ${metadata?.name ?? ''}`;
  return Map.groupBy(
    waiting.sort((a, b) => made(a).localeCompare(made(b))),
    ({ spec }) => spec?.queueName ?? '',
  );
}

const isTrue = (status: Workload['status'], type: string): boolean =>
  status?.conditions?.some((one) => one.type === type && one.status === 'True') ?? false;
