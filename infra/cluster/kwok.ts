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
  },
};

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
    status: { capacity: resources, allocatable: resources },
  };
};

/** Nodes that exist in the API only: pods on them are running at once and complete without a container. */
export async function startKwok(
  place: ClusterPlace,
  paths: Paths,
  call: ApiCall,
  { nodes, gpus }: { readonly nodes: number; readonly gpus: number },
  signal: AbortSignal,
): Promise<void> {
  const config = join(place.home, 'kwok.yaml');
  await writeFile(config, JSON.stringify(configuration, null, 2));
  const stages = globSync(join(programFolder(paths, 'kwok'), 'stages/*.yaml')).sort();
  const args = [
    ...[config, ...stages].map((file) => `--config=${file}`),
    `--kubeconfig=${innerKubeconfig(place, 'admin')}`,
    `--node-ip=${controlAddress}`,
    `--server-address=127.0.0.1:${serverPort}`,
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
