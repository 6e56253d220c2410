import { BatchV1Api, CoreV1Api, KubeConfig, type V1Container, type V1Job, type V1JobSpec, type V1PodSpec } from '@kubernetes/client-node';
import { busyboxImage } from '../../infra/cluster/node-images.ts';
import { nowMs, sleep } from '../../platform/clock.ts';

export const namespace = 'default';
const endDeadlineMs = 120_000;
const pollMs = 200;

export type ClusterJobs = {
  readonly core: CoreV1Api;
  readonly batch: BatchV1Api;
  /** Creates a Job of one container; without an image it is busybox. */
  readonly create: (name: string, container: Partial<V1Container>, pod?: Partial<V1PodSpec>, job?: Partial<V1JobSpec>) => Promise<V1Job>;
  /** `Complete` or `Failed`, with what its pods wrote, in the order of their names. */
  readonly ended: (name: string) => Promise<{ readonly end: string; readonly log: string }>;
};

export function clusterJobs(kubeconfig: string): ClusterJobs {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const [core, batch] = [config.makeApiClient(CoreV1Api), config.makeApiClient(BatchV1Api)];
  return {
    core,
    batch,
    create: (name, container, pod = {}, job = {}) => {
      const whole: V1Container = { name: 'main', image: busyboxImage, imagePullPolicy: 'Never', ...container };
      const spec: V1PodSpec = {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 1,
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        ...pod,
        containers: [whole],
      };
      const body: V1Job = {
        metadata: { name },
        spec: { backoffLimit: 0, ...job, template: { metadata: { labels: { job: name } }, spec } },
      };
      return batch.createNamespacedJob({ namespace, body });
    },
    ended: async (name) => {
      const end = await until(`the end of the Job ${name}`, async () => {
        const { status } = await batch.readNamespacedJob({ namespace, name });
        return status?.conditions?.find(({ type, status }) => ['Complete', 'Failed'].includes(type) && status === 'True')?.type ?? null;
      });
      const { items } = await core.listNamespacedPod({ namespace, labelSelector: `job=${name}` });
      const names = items.map(({ metadata }) => metadata?.name ?? '').sort();
      const logs = await Promise.all(names.map((pod) => core.readNamespacedPodLog({ namespace, name: pod })));
      return { end, log: logs.join('') };
    },
  };
}

/** Waits for something to be there. */
export async function until<Value>(what: string, look: () => Promise<Value | null>, deadlineMs = endDeadlineMs): Promise<Value> {
  for (const endMs = nowMs() + deadlineMs; ; await sleep(pollMs)) {
    const value = await look();
    if (value !== null) return value;
    if (nowMs() > endMs) throw new Error(`it never came to ${what}`);
  }
}
