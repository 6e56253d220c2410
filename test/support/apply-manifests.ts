import { type KubeConfig, KubernetesObjectApi } from '@kubernetes/client-node';
import { isTaken } from '../../activities/kubernetes/cluster-client.ts';
import type { clusterManifests } from '../../activities/kubernetes/manifests.ts';

/** What an operator applies; what is there is left as it is. */
export async function applyManifests(admin: KubeConfig, manifests: ReturnType<typeof clusterManifests>): Promise<void> {
  const objects = KubernetesObjectApi.makeApiClient(admin);
  for (const manifest of manifests)
    await objects.create(manifest as Parameters<typeof objects.create>[0]).catch((error: unknown) => {
      if (!isTaken(error)) throw error;
    });
}
