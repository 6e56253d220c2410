import type { V1Job, V1NetworkPolicy, V1OwnerReference, V1PodSpec, V1Secret, V1Service, V1Toleration } from '@kubernetes/client-node';
import type { JobSpec } from '../training/executor.ts';
import { jobText } from '../training/job-text.ts';
import {
  gpusAnnotation,
  installationLabel,
  jobAnnotation,
  jobLabel,
  jobName,
  managedBy,
  managedByUs,
  runLabel,
  runValue,
  tenantLabel,
  tenantValue,
  tierAnnotation,
} from './labels.ts';
import type { ResourceTier } from './resource-tiers.ts';

/** What of the installation goes into every job. */
export type JobSettings = {
  readonly namespace: string;
  readonly installation: string;
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  readonly imagePullSecret?: string;
  /** A job that runs longer is ended. */
  readonly deadlineSeconds: number;
  /** Jobs that have ended are kept so long, for people to look at. */
  readonly keepSeconds: number;
  /** A job has this long for its checkpoint after SIGTERM; absent: as long as is usual. */
  readonly graceSeconds?: number;
};

export const gpuResource = 'nvidia.com/gpu';
export const trainerContainer = 'trainer';
export const usualGraceSeconds = 60;
/** Uid of the image's user: no one on the host, and no root in the container. */
export const unprivileged = 65_532;
const rendezvousPort = 29_500;
const queueLabel = 'kueue.x-k8s.io/queue-name';

/** Where things are in a pod. The trainer's image is made by it (infra/images/trainer-layout.ts). */
export const podFolders = {
  spec: '/spec',
  work: '/work',
  job: '/work/job',
  cache: '/work/cache',
  models: '/opt/modelwright/models',
} as const;

/** A node that does not answer for so long is given up; Kubernetes itself would wait five minutes. */
const lostNodeSeconds = 30;
const leavesLostNodes: V1Toleration[] = ['not-ready', 'unreachable'].map((state) => ({
  key: `node.kubernetes.io/${state}`,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: lostNodeSeconds,
}));

/** Statuses of the trainer that no other try changes: bad options and invalid data. */
const finalStatuses = [64, 65];

function podSpec(spec: JobSpec, tier: ResourceTier, settings: JobSettings): V1PodSpec {
  const name = jobName(settings.installation, spec, spec.attempt);
  const amounts = { cpu: tier.cpu, memory: tier.memory, ...(tier.gpus > 0 ? { [gpuResource]: String(tier.gpus) } : {}) };
  const together = tier.workers > 1;
  return {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: settings.graceSeconds ?? usualGraceSeconds,
    // Nothing of the cluster is known inside, and nothing of it can be asked.
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    ...(together ? { subdomain: name } : {}),
    ...(settings.imagePullSecret === undefined ? {} : { imagePullSecrets: [{ name: settings.imagePullSecret }] }),
    ...(tier.priorityClass === undefined ? {} : { priorityClassName: tier.priorityClass }),
    nodeSelector: tier.nodeSelector,
    tolerations: [...(tier.tolerations as V1Toleration[]), ...leavesLostNodes],
    securityContext: {
      runAsNonRoot: true,
      runAsUser: unprivileged,
      runAsGroup: unprivileged,
      fsGroup: unprivileged,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: trainerContainer,
        image: settings.image,
        imagePullPolicy: settings.imagePullPolicy,
        args: ['--spec', `${podFolders.spec}/spec.json`],
        env: [
          { name: 'HOME', value: podFolders.work },
          { name: 'TMPDIR', value: podFolders.work },
          { name: 'MW_TERMINATION_FILE', value: '/dev/termination-log' },
          ...(together ? [{ name: 'MW_RENDEZVOUS', value: `${name}-0.${name}:${rendezvousPort}` }] : []),
        ],
        resources: { requests: amounts, limits: amounts },
        securityContext: {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: true,
        },
        volumeMounts: [
          { name: 'spec', mountPath: podFolders.spec, readOnly: true },
          { name: 'work', mountPath: podFolders.work },
        ],
      },
    ],
    volumes: [
      { name: 'spec', secret: { secretName: name } },
      { name: 'work', emptyDir: { sizeLimit: tier.disk } },
    ],
  };
}

/** One attempt of a run as a batch/v1 Job. `localQueue`: Kueue admits it; null: it starts at once. */
export function jobManifest(spec: JobSpec, tier: ResourceTier, settings: JobSettings, localQueue: string | null): V1Job {
  const name = jobName(settings.installation, spec, spec.attempt);
  const labels = { ...labelsOf(spec, settings), [jobLabel]: name };
  const together = tier.workers > 1;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name,
      namespace: settings.namespace,
      labels: localQueue === null ? labels : { ...labels, [queueLabel]: localQueue },
      annotations: {
        [jobAnnotation]: jobText(spec, spec.attempt),
        [tierAnnotation]: tier.name,
        [gpusAnnotation]: String(tier.gpus * tier.workers),
      },
    },
    spec: {
      // Another attempt is the run's to decide: it may need a smaller batch.
      backoffLimit: 0,
      podReplacementPolicy: 'Failed',
      activeDeadlineSeconds: settings.deadlineSeconds,
      ttlSecondsAfterFinished: settings.keepSeconds,
      ...(localQueue === null ? {} : { suspend: true }),
      completions: tier.workers,
      parallelism: tier.workers,
      ...(together ? { completionMode: 'Indexed' } : {}),
      podFailurePolicy: {
        rules: [
          { action: 'FailJob', onExitCodes: { containerName: trainerContainer, operator: 'In', values: finalStatuses } },
          // A disturbance is nobody's fault: the Job makes another pod, which goes on from the checkpoint. Workers that train together start anew together.
          ...(together ? [] : [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }]),
        ],
      },
      template: { metadata: { labels }, spec: podSpec(spec, tier, settings) },
    },
  };
}

const labelsOf = (spec: JobSpec, { installation }: JobSettings): Record<string, string> => ({
  [managedBy]: managedByUs,
  [installationLabel]: installation,
  'app.kubernetes.io/component': 'trainer',
  [runLabel]: runValue(spec),
  [tenantLabel]: tenantValue(spec.tenantId),
});

export const ownedBy = (job: V1Job): V1OwnerReference => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  name: job.metadata?.name ?? '',
  uid: job.metadata?.uid ?? '',
  blockOwnerDeletion: true,
});

/** The specification, with its addresses, and the business model's own trainer. It goes when the job goes. */
export function specSecret(spec: JobSpec, trainerSource: string, job: V1Job, settings: JobSettings): V1Secret {
  const name = jobName(settings.installation, spec, spec.attempt);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      labels: { ...labelsOf(spec, settings), [jobLabel]: name },
      ownerReferences: [ownedBy(job)],
    },
    type: 'Opaque',
    stringData: { 'spec.json': JSON.stringify(spec), 'trainer.py': trainerSource },
  };
}

/** By it workers that train together find the first of them. */
export function workersService(spec: JobSpec, job: V1Job, settings: JobSettings): V1Service {
  const name = jobName(settings.installation, spec, spec.attempt);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, labels: { ...labelsOf(spec, settings), [jobLabel]: name }, ownerReferences: [ownedBy(job)] },
    spec: { clusterIP: 'None', selector: { [jobLabel]: name }, publishNotReadyAddresses: true },
  };
}

/** Workers that train together may talk to each other: everybody else is shut out by the namespace's own policy. */
export function workersPolicy(spec: JobSpec, job: V1Job, settings: JobSettings): V1NetworkPolicy {
  const name = jobName(settings.installation, spec, spec.attempt);
  const each = [{ podSelector: { matchLabels: { [jobLabel]: name } } }];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, labels: { ...labelsOf(spec, settings), [jobLabel]: name }, ownerReferences: [ownedBy(job)] },
    spec: {
      podSelector: { matchLabels: { [jobLabel]: name } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ _from: each }],
      egress: [{ to: each }],
    },
  };
}
