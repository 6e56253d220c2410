/** A stage of KWOK: what becomes of a simulated pod that matches it, after a delay. Several that match are drawn by weight. */
export type PodStage = { readonly kind: 'Stage' } & Readonly<Record<string, unknown>>;

export type PodTimes = {
  /** How long a pod runs: at least, and at most. */
  readonly runMs: readonly [number, number];
  /** Per mille of the pods that are killed for their memory, and that are evicted. */
  readonly outOfMemory: number;
  readonly evicted: number;
};

const all = 1_000;
/** KWOK's own stages have no weight: with these beside them they are never drawn. */
const stage = (
  name: string,
  phase: 'Pending' | 'Running',
  weight: number,
  [leastMs, mostMs]: readonly [number, number],
  template: string,
): PodStage => ({
  apiVersion: 'kwok.x-k8s.io/v1alpha1',
  kind: 'Stage',
  metadata: { name: `training-${name}` },
  spec: {
    resourceRef: { apiGroup: 'v1', kind: 'Pod' },
    selector: {
      matchExpressions: [
        { key: '.metadata.deletionTimestamp', operator: 'DoesNotExist' },
        { key: '.metadata.labels["app.kubernetes.io/component"]', operator: 'In', values: ['trainer'] },
        { key: '.status.phase', operator: 'In', values: [phase] },
      ],
    },
    weight,
    ...(mostMs === 0 ? {} : { delay: { durationMilliseconds: leastMs, jitterDurationMilliseconds: mostMs } }),
    next: { statusTemplate: template },
  },
});

/** The pod says when it came to this state more exactly than Kubernetes' own times do, which have whole seconds. */
const at = `{{ $now := Now }}
message: {{ $now | Quote }}
`;
const ended = (exitCode: number, reason: string): string => `containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  name: {{ .name | Quote }}
  ready: false
  restartCount: 0
  started: false
  state:
    terminated:
      exitCode: ${exitCode}
      reason: ${reason}
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}
`;

const starts = `${at}conditions:
{{ range $type := list "Initialized" "Ready" "ContainersReady" }}
- lastTransitionTime: {{ $now | Quote }}
  status: "True"
  type: {{ $type }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  name: {{ .name | Quote }}
  ready: true
  restartCount: 0
  started: true
  state:
    running:
      startedAt: {{ $now | Quote }}
{{ end }}
phase: Running
startTime: {{ $now | Quote }}
`;
const evicts = `${at}conditions:
- lastTransitionTime: {{ $now | Quote }}
  status: "True"
  type: DisruptionTarget
  reason: TerminationByKubelet
${ended(143, 'Error')}reason: Evicted
phase: Failed
`;

/** Pods of trainings on simulated nodes: they start at once, run for a while, and end, most of them well. Nothing is computed. */
export const podStages = ({ runMs, outOfMemory, evicted }: PodTimes): readonly PodStage[] => [
  stage('starts', 'Pending', 1, [0, 0], starts),
  stage('completes', 'Running', all - outOfMemory - evicted, runMs, `${at}${ended(0, 'Completed')}phase: Succeeded\n`),
  ...(outOfMemory === 0 ? [] : [stage('out-of-memory', 'Running', outOfMemory, runMs, `${at}${ended(137, 'OOMKilled')}phase: Failed\n`)]),
  ...(evicted === 0 ? [] : [stage('is-evicted', 'Running', evicted, runMs, evicts)]),
];

/** When the pod came to its state, Unix epoch milliseconds; null: it does not say. */
export function stagedAtMs(message: string | undefined): number | null {
  const atMs = Date.parse(message ?? '');
  return Number.isNaN(atMs) ? null : atMs;
}
