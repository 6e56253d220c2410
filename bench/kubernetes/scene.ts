import { type ClusterClient, connectCluster } from '../../activities/kubernetes/cluster-client.ts';
import type { JobSettings } from '../../activities/kubernetes/job-manifest.ts';
import { jobName } from '../../activities/kubernetes/labels.ts';
import { createRemoteJobs } from '../../activities/kubernetes/remote-folders.ts';
import { type ResourceTiers, parseTiers } from '../../activities/kubernetes/resource-tiers.ts';
import type { WatchedJobs } from '../../activities/kubernetes/watched-jobs.ts';
import { kwokLabel, kwokTaint } from '../../infra/cluster/kwok.ts';
import { createS3Client } from '../../platform/s3.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { simulatedStore } from '../../test/support/simulated-store.ts';

// What all parts of this benchmark share: the simulated nodes, and the stand-in for what pods on them cannot do.

export const namespace = 'modelwright-bench';
export const installation = 'bench';
export const tier = 'simulated';

/** One GPU of a simulated node. */
export const tiers: ResourceTiers = parseTiers(
  {
    [tier]: {
      cpu: '1',
      memory: '2Gi',
      disk: '6Gi',
      gpus: 1,
      next: 'larger',
      nodeSelector: kwokLabel,
      tolerations: [{ key: kwokTaint.key, operator: 'Exists' }],
    },
    larger: { cpu: '2', memory: '4Gi', disk: '6Gi', gpus: 1, nodeSelector: kwokLabel },
  },
  'the benchmark',
);

export const jobSettings: JobSettings = {
  namespace,
  installation,
  image: 'registry.example.com/modelwright/trainer:1',
  imagePullPolicy: 'IfNotPresent',
  deadlineSeconds: 3_600,
  keepSeconds: 3_600,
};

export const clusterAt = (kubeconfig: string): ClusterClient => connectCluster(kubeconfig, namespace, installation);

/** Addresses are signed as for a real store; nobody ever calls them. */
const presigner = createS3ObjectStore(
  createS3Client({ s3: { endpoint: 'https://s3.example.com', region: 'us-east-1', accessKey: 'bench', secretKey: 'bench', bucket: 'b' } }),
  'modelwright',
);

/** Of every dataset: one bucket, two labels. */
const manifest = {
  format: 'modelwright-dataset/1',
  buckets: [{ index: 0, ref: { bucket: 'b', key: 'bucket', sha256: '0'.repeat(64), bytes: 1_000 }, rows: 10 }],
};

export function storeOf(watched: WatchedJobs): ObjectStore {
  return simulatedStore(
    (key) => {
      const { conditions = [] } = watched.job(jobName(installation, key, key.attempt))?.status ?? {};
      return conditions.some(({ type, status }) => type === 'Complete' && status === 'True');
    },
    presigner,
    manifest,
  );
}

export const remoteOf = (watched: WatchedJobs) => createRemoteJobs(storeOf(watched), presigner);
