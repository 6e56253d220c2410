import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import type { ClusterPlace } from './place.ts';

export type SimulatedNodes = { readonly nodes: number; readonly gpus: number; readonly stages?: readonly object[] };

/** What a cluster is made of; two with equal shapes are the same. */
export type ClusterShape = {
  readonly nodes: number;
  readonly gpusPerNode: number;
  readonly kueue: boolean;
  readonly kwok: SimulatedNodes | null;
};
export type ClusterState = {
  readonly phase: 'starting' | 'running';
  readonly shape: ClusterShape;
  /** Port of the host's loopback at which the API is reached. */
  readonly apiPort: number;
  /** Names of the images that nodes start with. */
  readonly images: readonly string[];
};

export function readClusterState(place: ClusterPlace): ClusterState | null {
  try {
    return JSON.parse(readFileSync(place.stateFile, 'utf8')) as ClusterState;
  } catch {
    return null;
  }
}

export async function writeClusterState(place: ClusterPlace, state: ClusterState): Promise<void> {
  await writeFile(`${place.stateFile}.new`, JSON.stringify(state, null, 2));
  await rename(`${place.stateFile}.new`, place.stateFile);
}
