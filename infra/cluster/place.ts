import { basename, dirname, join, resolve } from 'node:path';
import { sha256Hex } from '../../platform/hash.ts';
import type { Paths } from '../../platform/paths.ts';

/** Where one cluster lives. Names that the whole machine sees derive from the folder, so that two clusters never meet. */
export type ClusterPlace = {
  /** Folder of all its state. */
  readonly home: string;
  /** Eight characters that stand for the folder. */
  readonly id: string;
  /** File that the network namespace is bound to. */
  readonly network: string;
  /** Parent of its nodes' cgroups, without a leading slash. */
  readonly cgroup: string;
  readonly stateFile: string;
  /** Held by whoever starts or stops it. It lies beside the folder, which comes and goes. */
  readonly lock: string;
  /** For clients outside of the network namespace. */
  readonly kubeconfig: string;
  readonly pki: string;
  readonly logs: string;
  /** One file for each process that was started. */
  readonly processes: string;
  readonly node: (number: number) => NodePlace;
};

export type NodePlace = {
  readonly number: number;
  readonly name: string;
  readonly folder: string;
  readonly address: string;
  readonly cgroup: string;
  readonly socket: string;
  /** Numbers of GPUs that the device plugin reports as broken, one a line. */
  readonly brokenGpus: string;
};

/** The network namespace is the cluster's own: its addresses and ports may be the same in every cluster. */
const nodeNetwork = '10.90.0';
export const controlAddress = `${nodeNetwork}.1`;
export const prefixLength = 24;
export const apiPort = 6443;
export const serviceRange = '10.96.0.0/16';
export const firstServiceAddress = '10.96.0.1';
export const clusterDomain = 'cluster.local';
export const podRange = (node: number): string => `10.91.${node}.0/24`;
/** Node addresses end in 11 and more. */
const firstNode = 10;
/** More than this is what KWOK is for. */
export const maxNodes = 9;
/** In the environment of every process that is started, so that it is found even when its start was cut off before it was written down. */
export const marker = (place: Pick<ClusterPlace, 'id'>): string => `MODELWRIGHT_CLUSTER=${place.id}`;

/** Where `mw cluster` keeps its own. */
export const clusterHome = (paths: Paths): string => join(paths.home, 'cluster');

export function clusterPlace(folder: string): ClusterPlace {
  const home = resolve(folder);
  const id = sha256Hex(home).slice(0, 8);
  const cgroup = `modelwright-${id}`;
  return {
    home,
    id,
    cgroup,
    network: join(home, 'network'),
    stateFile: join(home, 'cluster.json'),
    lock: join(dirname(home), `.${basename(home)}.lock`),
    kubeconfig: join(home, 'kubeconfig'),
    pki: join(home, 'pki'),
    logs: join(home, 'logs'),
    processes: join(home, 'processes'),
    node: (number) => {
      const name = `node${number}`;
      const folder = join(home, name);
      return {
        number,
        name,
        folder,
        address: `${nodeNetwork}.${firstNode + number}`,
        cgroup: `${cgroup}/${name}`,
        socket: join(folder, 'containerd.sock'),
        brokenGpus: join(folder, 'broken-gpus'),
      };
    },
  };
}
