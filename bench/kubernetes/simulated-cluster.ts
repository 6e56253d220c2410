import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { clusterManifests } from '../../activities/kubernetes/manifests.ts';
import { startCluster } from '../../infra/cluster/cluster.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { applyManifests } from '../../test/support/apply-manifests.ts';
import { podStages } from '../../test/support/simulated-pods.ts';
import { workerKubeconfig } from '../../test/support/worker-kubeconfig.ts';
import { namespace } from './scene.ts';

export type SimulatedCluster = {
  readonly adminKubeconfig: string;
  /** Of the worker's own account, that may do no more than its role. */
  readonly workerKubeconfig: string;
  readonly stop: () => Promise<void>;
};

export const gpusOfNode = 8;
/** Two of a hundred pods do not end well. */
const stages = podStages({ runMs: [20_000, 40_000], outOfMemory: 10, evicted: 10 });

/** A real control plane with simulated nodes, or the one that the kubeconfig names, and on it what an operator applies. */
export async function simulatedCluster(folder: string, nodes: number, kubeconfig: string | undefined): Promise<SimulatedCluster> {
  const own =
    kubeconfig === undefined
      ? await startCluster({
          home: join(folder, 'cluster'),
          paths: resolvePaths(process.env),
          nodes: 1,
          trainer: false,
          kwok: { nodes, gpus: gpusOfNode, stages },
        })
      : null;
  const adminKubeconfig = kubeconfig ?? own?.kubeconfig ?? '';
  const config = new KubeConfig();
  config.loadFromFile(adminKubeconfig);
  const s3 = { cidr: '10.0.0.1', port: 443 };
  await applyManifests(config, clusterManifests({ namespace, s3, quota: { gpus: null, cpu: null, memory: null }, kueue: null }));
  const worker = join(folder, 'worker.kubeconfig');
  await writeFile(worker, await workerKubeconfig(config, config.makeApiClient(CoreV1Api), namespace), { mode: 0o600 });
  return { adminKubeconfig, workerKubeconfig: worker, stop: async () => await own?.stop() };
}
