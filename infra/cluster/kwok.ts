import { globSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import type { ApiCall } from './api-call.ts';
import { programFile, programFolder } from './binaries.ts';
import { startDaemon } from './daemon.ts';
import { inNetwork } from './network.ts';
import { innerKubeconfig } from './pki.ts';
import { type ClusterPlace, controlAddress } from './place.ts';
import type { SimulatedNodes } from './state.ts';
import { waitFor } from './wait-for.ts';

const callsAtOnce = 24;
const readyDeadlineMs = 180_000;
const serverPort = 10_247;
/** Pods that tolerate this taint and select this label run on simulated nodes; others never do. */
export const kwokTaint = { key: 'kwok.x-k8s.io/node', value: 'fake', effect: 'NoSchedule' } as const;
export const kwokLabel = { type: 'kwok' } as const;

const configuration = {
  apiVersion: 'config.kwok.x-k8s.io/v1alpha1',
  kind: 'KwokConfiguration',
  options: {
    manageAllNodes: false,
    manageNodesWithAnnotationSelector: 'kwok.x-k8s.io/node=fake',
    nodeLeaseDurationSeconds: 40,
    nodePlayStageParallelism: 8,
    podPlayStageParallelism: 16,
    nodeLeaseParallelism: 8,
    cidr: '10.92.0.0/16',
    nodePort: serverPort,
    // Logs of simulated pods.
    enableDebuggingHandlers: true,
  },
};

/** What every container of a simulated pod has printed. */
const printed = '2026-01-01T00:00:00.000000001Z stdout F {"phase":"train","step":1,"steps":10,"epoch":0,"loss":0.5,"etaMs":1000}\n';
const logsOf = (logsFile: string): object => ({
  apiVersion: 'kwok.x-k8s.io/v1alpha1',
  kind: 'ClusterLogs',
  metadata: { name: 'all' },
  spec: { logs: [{ logsFile, follow: true }] },
});

const simulatedNode = (number: number, gpus: number): object => {
  const name = `kwok-${number}`;
  const resources = { cpu: '96', memory: '1Ti', pods: '110', 'nvidia.com/gpu': String(gpus) };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      annotations: { 'kwok.x-k8s.io/node': 'fake', 'node.alpha.kubernetes.io/ttl': '0' },
      labels: { ...kwokLabel, 'kubernetes.io/hostname': name },
    },
    spec: { taints: [kwokTaint] },
    status: {
      capacity: resources,
      allocatable: resources,
      // KWOK forgets the one that it knows when it misses the other.
      addresses: [
        { type: 'InternalIP', address: controlAddress },
        { type: 'Hostname', address: name },
      ],
    },
  };
};

/**
 * Nodes that exist in the API only: pods on them run without a container, at once and for no time, or as the stages say (Stage of KWOK, those with a
 * weight come before KWOK's own).
 */
export async function startKwok(
  place: ClusterPlace,
  paths: Paths,
  call: ApiCall,
  { nodes, gpus, stages: further = [] }: SimulatedNodes,
  signal: AbortSignal,
): Promise<void> {
  const config = join(place.home, 'kwok.yaml');
  const own = join(place.home, 'kwok-stages.yaml');
  const log = join(place.home, 'kwok-pod.log');
  await writeFile(log, printed);
  await writeFile(config, JSON.stringify(configuration, null, 2));
  await writeFile(own, [logsOf(log), ...further].map((one) => JSON.stringify(one)).join('\n---\n'));
  const stages = globSync(join(programFolder(paths, 'kwok'), 'stages/*.yaml')).sort();
  const args = [
    ...[config, own, ...stages].map((file) => `--config=${file}`),
    `--kubeconfig=${innerKubeconfig(place, 'admin')}`,
    `--node-ip=${controlAddress}`,
    `--server-address=0.0.0.0:${serverPort}`,
    `--tls-cert-file=${join(place.pki, 'apiserver.crt')}`,
    `--tls-private-key-file=${join(place.pki, 'apiserver.key')}`,
  ];
  startDaemon(place, { name: 'kwok', ...inNetwork(place, [programFile(paths, 'kwok', 'kwok'), ...args]) });
  let next = 1;
  const create = async (): Promise<void> => {
    while (next <= nodes) {
      signal.throwIfAborted();
      const number = next;
      next += 1;
      const { status, body } = await call('POST', '/api/v1/nodes', JSON.stringify(simulatedNode(number, gpus)));
      // 409: of an earlier start.
      if (status >= 300 && status !== 409) throw new Error(`the simulated node ${number} was refused: ${status} ${body.slice(0, 200)}`);
    }
  };
  await Promise.all(Array.from({ length: callsAtOnce }, create));
  await waitFor('the simulated nodes were not ready', readyDeadlineMs, signal, async () => {
    const { body } = await call('GET', `/api/v1/nodes?labelSelector=${encodeURIComponent('type=kwok')}`);
    const ready = (JSON.parse(body) as NodeList).items.filter(isReady).length;
    return ready >= nodes ? true : `${ready} of ${nodes}`;
  });
}

export type NodeList = {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status: {
      readonly conditions?: readonly { readonly type: string; readonly status: string }[];
      readonly allocatable?: Readonly<Record<string, string>>;
    };
  }[];
};
export const isReady = ({ status }: NodeList['items'][number]): boolean =>
  status.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') ?? false;
