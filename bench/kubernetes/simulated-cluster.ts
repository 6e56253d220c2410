import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CoreV1Api, KubeConfig, KubernetesObjectApi } from '@kubernetes/client-node';
import { clusterManifests, workerAccount } from '../../activities/kubernetes/manifests.ts';
import { namespace } from './scene.ts';

export type SimulatedCluster = {
  readonly adminKubeconfig: string;
  /** Of the worker's own account, that may do no more than its role. */
  readonly workerKubeconfig: string;
  readonly stop: () => Promise<void>;
};

const tokenSeconds = 86_400;

/** A real control plane with simulated nodes, and on it what an operator applies. */
export async function simulatedCluster(folder: string, _nodes: number, kubeconfig: string | undefined): Promise<SimulatedCluster> {
  if (kubeconfig === undefined) throw new Error('give a --kubeconfig of a cluster with simulated nodes');
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const objects = KubernetesObjectApi.makeApiClient(config);
  const manifests = clusterManifests({
    namespace,
    s3: { cidr: '10.0.0.1', port: 443 },
    quota: { gpus: null, cpu: null, memory: null },
    kueue: null,
  });
  for (const manifest of manifests)
    await objects.create(manifest as Parameters<typeof objects.create>[0]).catch((error: unknown) => {
      if ((error as { code?: number }).code !== 409) throw error;
    });
  const { status } = await config.makeApiClient(CoreV1Api).createNamespacedServiceAccountToken({
    namespace,
    name: workerAccount,
    body: { spec: { audiences: [], expirationSeconds: tokenSeconds } },
  });
  const cluster = config.getCurrentCluster();
  const workerKubeconfig = join(folder, 'worker.json');
  const worker = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'c',
        cluster: {
          server: cluster?.server,
          'certificate-authority-data': cluster?.caData ?? readFileSync(cluster?.caFile ?? '').toString('base64'),
        },
      },
    ],
    users: [{ name: 'u', user: { token: status?.token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  await writeFile(workerKubeconfig, JSON.stringify(worker), { mode: 0o600 });
  return { adminKubeconfig: kubeconfig, workerKubeconfig, stop: () => Promise.resolve() };
}
