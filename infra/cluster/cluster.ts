import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import { trainerImage } from '../images/trainer-image.ts';
import type { Image } from '../images/oci-image.ts';
import { holdingLock } from '../local/cache-entry.ts';
import { freePorts } from '../local/ports.ts';
import type { ProvisionContext } from '../local/provision-context.ts';
import { type ApiCall, apiOf } from './api-call.ts';
import { clusterProvisioners, kueueProvisioner, kwokProvisioner, programFile } from './binaries.ts';
import { apiServerName, startApiserver, startControllers, startDns, startEtcd, stopApiserver, waitForApiserver } from './control-plane.ts';
import { allRun, daemonNamed, endDaemon, isRunning } from './daemon.ts';
import { podForwarderName, startApiForwarder, startPodForwarder } from './forwarder.ts';
import { startKueue } from './kueue.ts';
import { type NodeList, isReady, startKwok } from './kwok.ts';
import { makeNetwork } from './network.ts';
import { importImage, nodeTemplate } from './node-images.ts';
import { breakGpus, crashNode, healNode, partitionNode, prepareNode, startNode } from './node.ts';
import { certificates, innerKubeconfig, makePki, writeKubeconfig } from './pki.ts';
import { type ClusterPlace, type NodePlace, clusterPlace, controlAddress, maxNodes } from './place.ts';
import { MachineProblems } from '../local/machine-problems.ts';
import { clusterProblems } from './requirements.ts';
import { type ClusterShape, type SimulatedNodes, readClusterState, writeClusterState } from './state.ts';
import { stopCluster } from './stop.ts';
import { waitFor } from './wait-for.ts';

export type ClusterOptions = {
  /** Folder of all state; the cluster is known by it. */
  readonly home: string;
  readonly paths: Paths;
  /** Default 2, at most 9. */
  readonly nodes?: number;
  /** Simulated `nvidia.com/gpu` of each node; default 2. */
  readonly gpusPerNode?: number;
  /** Whether nodes have the trainer's image; default true. */
  readonly trainer?: boolean;
  readonly kueue?: boolean;
  /** Nodes that are simulated in the API only, each with so many GPUs; `stages` of KWOK say what becomes of pods there. */
  readonly kwok?: SimulatedNodes;
  /** Port of the host's loopback for the API; without one a free port is chosen. */
  readonly apiPort?: number;
  readonly report?: (line: string) => void;
  readonly signal?: AbortSignal;
};

export type Cluster = {
  /** Works outside of the cluster's network namespace. */
  readonly kubeconfig: string;
  /** Command line client of the same version. */
  readonly kubectl: string;
  readonly shape: ClusterShape;
  /** The address at which pods reach forwarded ports of the host. */
  readonly hostAddress: string;
  /** Lets pods reach a port of the host's loopback at `hostAddress`; resolves to `address:port`. */
  readonly forwardFromPods: (hostPort: number, podPort?: number) => Promise<string>;
  /** Gives running nodes an image more. */
  readonly loadImage: (image: Image) => Promise<void>;
  /** As a power cut of the node with this number, from 1. */
  readonly crashNode: (node: number) => Promise<void>;
  /** Starts a crashed node again. */
  readonly startNode: (node: number) => Promise<void>;
  /** The node's pods work on while the control plane hears nothing of it. */
  readonly partitionNode: (node: number) => void;
  readonly healNode: (node: number) => void;
  /** Numbers of the GPUs of a node that are broken from now on. */
  readonly breakGpus: (node: number, gpus: readonly number[]) => Promise<void>;
  readonly stopApiserver: () => Promise<void>;
  readonly startApiserver: () => Promise<void>;
  readonly stop: (options?: { readonly keepState?: boolean }) => Promise<void>;
};

const readyDeadlineMs = 120_000;
const forwarderStopMs = 2_000;
/** Of a path of a Unix socket, with the zero at its end. */
const longestSocketPath = 107;

/**
 * Brings up a real Kubernetes in a network namespace of its own, or returns the one that runs there already. When it fails or is aborted, nothing is
 * left of it.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { paths, report = () => undefined, signal = new AbortController().signal } = options;
  const place = clusterPlace(options.home);
  const shape = shapeOf(options);
  const problems = [...clusterProblems(), ...shapeProblems(place, shape)];
  if (problems.length > 0) throw new MachineProblems(problems);
  const context: ProvisionContext = { paths, signal, report };
  await mkdir(dirname(place.home), { recursive: true });
  return await holdingLock(place.lock, context, async () => {
    const extras = [...(shape.kueue ? [kueueProvisioner] : []), ...(shape.kwok ? [kwokProvisioner] : [])];
    for (const provisioner of [...clusterProvisioners, ...extras]) await provisioner.provision(context);
    const images = options.trainer === false ? [] : [await trainerImage(context)];
    const names = images.map(({ name }) => name);
    const state = readClusterState(place);
    if (state?.phase === 'running' && allRun(place) && JSON.stringify(state.shape) === JSON.stringify(shape)) {
      const running = clusterAt(place, paths, shape, state.apiPort);
      for (const image of images.filter(({ name }) => !state.images.includes(name))) await running.loadImage(image);
      await writeClusterState(place, { ...state, images: [...new Set([...state.images, ...names])] });
      return running;
    }
    if (await stopCluster(place)) report('another cluster was here, or the rest of one: it has been removed');
    try {
      const [freePort = 0] = await freePorts(1);
      const apiPort = options.apiPort ?? freePort;
      await bringUp(place, context, shape, apiPort, images);
      await writeClusterState(place, { phase: 'running', shape, apiPort, images: names });
      return clusterAt(place, paths, shape, apiPort);
    } catch (error) {
      await stopCluster(place);
      throw error;
    }
  });
}

/** The cluster that runs in this folder; null when none does, or not all of it. */
export function runningCluster(home: string, paths: Paths): Cluster | null {
  const place = clusterPlace(home);
  const state = readClusterState(place);
  return state?.phase === 'running' && allRun(place) ? clusterAt(place, paths, state.shape, state.apiPort) : null;
}

const shapeOf = ({ nodes = 2, gpusPerNode = 2, kueue = false, kwok }: ClusterOptions): ClusterShape => ({
  nodes,
  gpusPerNode,
  kueue,
  kwok: kwok ?? null,
});

export function shapeProblems(place: ClusterPlace, { nodes, gpusPerNode }: ClusterShape): string[] {
  const problems: string[] = [];
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > maxNodes) problems.push(`a cluster has 1 to ${maxNodes} nodes, not ${nodes}`);
  if (!Number.isInteger(gpusPerNode) || gpusPerNode < 0) problems.push(`a node has 0 or more GPUs, not ${gpusPerNode}`);
  if (Buffer.byteLength(`${place.node(1).socket}.ttrpc`) > longestSocketPath) {
    problems.push(`the folder ${place.home} has too long a path for sockets: set MW_HOME to a shorter one`);
  }
  return problems;
}

async function bringUp(
  place: ClusterPlace,
  context: ProvisionContext,
  shape: ClusterShape,
  apiPort: number,
  images: readonly Image[],
): Promise<void> {
  const { paths, signal, report } = context;
  const numbers = Array.from({ length: shape.nodes }, (_, index) => index + 1);
  const nodes = numbers.map((number) => place.node(number));
  await mkdir(place.home, { recursive: true });
  await writeClusterState(place, { phase: 'starting', shape, apiPort, images: [] });
  report('keys and network');
  await Promise.all([makePki(place, shape.nodes, signal), makeNetwork(place, shape.nodes, signal)]);
  for (const { name, servedAt } of certificates(place, shape.nodes)) {
    if (servedAt === undefined) await writeKubeconfig(place, innerKubeconfig(place, name), name);
  }
  await writeKubeconfig(place, place.kubeconfig, 'admin', apiPort);
  report('control plane');
  startEtcd(place, paths);
  startApiserver(place, paths);
  startApiForwarder(place, paths, apiPort);
  const call = apiOf(place, apiPort);
  const laidOut = nodeTemplate(context, place, images).then((template) =>
    Promise.all(nodes.map((node) => prepareNode(place, paths, node, template, signal))),
  );
  // Both to their end, so that nothing of them starts after a failure has been cleared away.
  const [api, layout] = await Promise.allSettled([waitForApiserver(place, call, signal), laidOut]);
  for (const each of [api, layout]) if (each.status === 'rejected') throw each.reason;
  startControllers(place, paths, shape.kwok ? 'simulated' : 'usual');
  await startDns(place, paths);
  report('nodes');
  for (const node of nodes) await startNode(place, paths, node, shape.gpusPerNode, signal);
  await waitForNodes(call, nodes, shape.gpusPerNode, signal);
  if (shape.kueue) report('Kueue');
  if (shape.kueue) await startKueue(place, paths, call, signal);
  if (shape.kwok) report('simulated nodes');
  if (shape.kwok) await startKwok(place, paths, call, shape.kwok, signal);
}

async function waitForNodes(call: ApiCall, nodes: readonly NodePlace[], gpus: number, signal: AbortSignal): Promise<void> {
  await waitFor('the nodes were not ready', readyDeadlineMs, signal, async () => {
    const { items } = JSON.parse((await call('GET', '/api/v1/nodes')).body) as NodeList;
    const missing = nodes.filter(({ name }) => {
      const item = items.find(({ metadata }) => metadata.name === name);
      return item === undefined || !isReady(item) || Number(item.status.allocatable?.['nvidia.com/gpu'] ?? 0) !== gpus;
    });
    return missing.length === 0 ? true : `${missing.map(({ name }) => name).join(', ')} missing`;
  });
  await waitFor('the default service account was not there', readyDeadlineMs, signal, async () => {
    const { status } = await call('GET', '/api/v1/namespaces/default/serviceaccounts/default');
    return status === 200 ? true : String(status);
  });
}

function clusterAt(place: ClusterPlace, paths: Paths, shape: ClusterShape, apiPort: number): Cluster {
  const call = apiOf(place, apiPort);
  const { signal } = new AbortController();
  const context: ProvisionContext = { paths, signal, report: () => undefined };
  const node = (number: number): NodePlace => {
    if (number < 1 || number > shape.nodes) throw new Error(`the cluster has the nodes 1 to ${shape.nodes}, not ${number}`);
    return place.node(number);
  };
  return {
    kubeconfig: place.kubeconfig,
    kubectl: programFile(paths, 'kubernetes', 'kubectl'),
    shape,
    hostAddress: controlAddress,
    forwardFromPods: async (hostPort, podPort = hostPort) => {
      await endDaemon(place, podForwarderName(podPort), forwarderStopMs);
      startPodForwarder(place, paths, hostPort, podPort);
      return `${controlAddress}:${podPort}`;
    },
    loadImage: async (image) => {
      for (let number = 1; number <= shape.nodes; number += 1) await importImage(context, node(number).socket, image);
    },
    crashNode: (number) => crashNode(place, node(number)),
    startNode: (number) => startNode(place, paths, node(number), shape.gpusPerNode, signal),
    partitionNode: (number) => partitionNode(place, node(number)),
    healNode: (number) => healNode(place, node(number)),
    breakGpus: (number, gpus) => breakGpus(node(number), gpus),
    stopApiserver: () => stopApiserver(place),
    startApiserver: async () => {
      if (!isRunning(daemonNamed(place, apiServerName))) startApiserver(place, paths);
      await waitForApiserver(place, call, signal);
    },
    stop: async (options) => void (await stopCluster(place, options)),
  };
}
