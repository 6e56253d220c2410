/** What the operator of a cluster applies once: `mw cluster manifests`. The worker itself may do no more than `permissions`. */

export type Rule = { readonly apiGroups: readonly string[]; readonly resources: readonly string[]; readonly verbs: readonly string[] };

/** Everything that the training worker does in its namespace. */
export const permissions: readonly Rule[] = [
  { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'get', 'list', 'watch', 'delete'] },
  { apiGroups: [''], resources: ['secrets'], verbs: ['create', 'update'] },
  { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
  { apiGroups: [''], resources: ['services'], verbs: ['create'] },
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: ['create'] },
  { apiGroups: [''], resources: ['events', 'resourcequotas'], verbs: ['list'] },
];

/** Only where Kueue admits the jobs. */
export const queuePermissions: readonly Rule[] = [
  { apiGroups: ['kueue.x-k8s.io'], resources: ['localqueues'], verbs: ['create', 'list'] },
  { apiGroups: ['kueue.x-k8s.io'], resources: ['workloads'], verbs: ['list'] },
];

export type ManifestOptions = {
  readonly namespace: string;
  /** Where jobs reach S3: address or CIDR, and port. */
  readonly s3: { readonly cidr: string; readonly port: number };
  /** GPUs, CPUs and memory that all trainings together may take; null: as much as there is. */
  readonly quota: { readonly gpus: number | null; readonly cpu: string | null; readonly memory: string | null };
  /** GPUs, CPUs and memory that Kueue shares among the tenants; null: Kueue is not used. */
  readonly kueue: { readonly clusterQueue: string; readonly gpus: number; readonly cpu: string; readonly memory: string } | null;
};

export const workerAccount = 'modelwright-worker';
type Manifest = Readonly<Record<string, unknown>> & { readonly kind: string; readonly metadata: Readonly<Record<string, unknown>> };

export function clusterManifests({ namespace, s3, quota, kueue }: ManifestOptions): readonly Manifest[] {
  const subject = { kind: 'ServiceAccount', name: workerAccount, namespace };
  const rbac = 'rbac.authorization.k8s.io';
  const hard = {
    ...(quota.gpus === null ? {} : { 'requests.nvidia.com/gpu': String(quota.gpus) }),
    ...(quota.cpu === null ? {} : { 'requests.cpu': quota.cpu }),
    ...(quota.memory === null ? {} : { 'requests.memory': quota.memory }),
  };
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: namespace,
        labels: { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/enforce-version': 'latest' },
      },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: workerAccount, namespace } },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'Role',
      metadata: { name: workerAccount, namespace },
      rules: [...permissions, ...(kueue === null ? [] : queuePermissions)],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: { name: workerAccount, namespace },
      subjects: [subject],
      roleRef: { apiGroup: rbac, kind: 'Role', name: workerAccount },
    },
    // To tell a job that waits for room from one that no node could ever hold.
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name: `${workerAccount}-${namespace}` },
      rules: [
        { apiGroups: [''], resources: ['nodes'], verbs: ['list'] },
        { apiGroups: [''], resources: ['namespaces'], verbs: ['get'], resourceNames: [namespace] },
        ...(kueue === null ? [] : [{ apiGroups: ['kueue.x-k8s.io'], resources: ['clusterqueues'], verbs: ['get'] }]),
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: `${workerAccount}-${namespace}` },
      subjects: [subject],
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: `${workerAccount}-${namespace}` },
    },
    // Pods of the namespace hear nobody, and reach S3 and the names of the cluster and nothing else.
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'only-s3', namespace },
      spec: {
        podSelector: {},
        policyTypes: ['Ingress', 'Egress'],
        egress: [
          { to: [{ ipBlock: { cidr: s3.cidr.includes('/') ? s3.cidr : `${s3.cidr}/32` } }], ports: [{ protocol: 'TCP', port: s3.port }] },
          {
            to: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } } }],
            ports: ['UDP', 'TCP'].map((protocol) => ({ protocol, port: 53 })),
          },
        ],
      },
    },
    ...(Object.keys(hard).length === 0
      ? []
      : [{ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'trainings', namespace }, spec: { hard } }]),
    ...(kueue === null ? [] : kueueManifests(kueue)),
  ];
}

/** One ClusterQueue for all tenants: whoever has used less lately comes first, whoever asked first. */
function kueueManifests({ clusterQueue, gpus, cpu, memory }: NonNullable<ManifestOptions['kueue']>): readonly Manifest[] {
  const apiVersion = 'kueue.x-k8s.io/v1beta2';
  return [
    { apiVersion, kind: 'ResourceFlavor', metadata: { name: clusterQueue } },
    {
      apiVersion,
      kind: 'ClusterQueue',
      metadata: { name: clusterQueue },
      spec: {
        cohortName: clusterQueue,
        namespaceSelector: {},
        admissionScope: { admissionMode: 'UsageBasedAdmissionFairSharing' },
        resourceGroups: [
          {
            coveredResources: ['cpu', 'memory', 'nvidia.com/gpu'],
            flavors: [
              {
                name: clusterQueue,
                resources: [
                  { name: 'cpu', nominalQuota: cpu },
                  { name: 'memory', nominalQuota: memory },
                  { name: 'nvidia.com/gpu', nominalQuota: String(gpus) },
                ],
              },
            ],
          },
        ],
      },
    },
  ];
}
