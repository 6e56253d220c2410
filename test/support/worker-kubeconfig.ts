import { readFileSync } from 'node:fs';
import type { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { workerAccount } from '../../activities/kubernetes/manifests.ts';

const tokenSeconds = 7_200;

/** A kubeconfig of the training worker's own account, which may do what its role allows and no more. */
export async function workerKubeconfig(admin: KubeConfig, core: CoreV1Api, namespace: string): Promise<string> {
  const body = { spec: { audiences: [], expirationSeconds: tokenSeconds } };
  const { status } = await core.createNamespacedServiceAccountToken({ namespace, name: workerAccount, body });
  const cluster = admin.getCurrentCluster();
  const authority = cluster?.caData ?? readFileSync(cluster?.caFile ?? '').toString('base64');
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: cluster?.server, 'certificate-authority-data': authority } }],
    users: [{ name: 'u', user: { token: status?.token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}
