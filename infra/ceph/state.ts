import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import type { CephPlace } from './place.ts';

export type CephShape = {
  /** With 3, models lie in an erasure-coded pool (2 data + 1 coding), which bears the loss of one. */
  readonly osds: 1 | 3;
  /** Of each OSD's file, which is sparse: what is not written takes no space. */
  readonly osdBytes: number;
};
export type CephState = {
  readonly phase: 'starting' | 'running';
  readonly shape: CephShape;
  readonly monPort: number;
  readonly gatewayPort: number;
};

export function readCephState(place: CephPlace): CephState | null {
  try {
    return JSON.parse(readFileSync(place.stateFile, 'utf8')) as CephState;
  } catch {
    return null;
  }
}

export async function writeCephState(place: CephPlace, state: CephState): Promise<void> {
  const fresh = `${place.stateFile}.new`;
  await writeFile(fresh, JSON.stringify(state));
  await rename(fresh, place.stateFile);
}
