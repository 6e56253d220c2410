import { existsSync, readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../../platform/paths.ts';
import { isAlive } from '../../platform/process-identity.ts';
import type { ProcessStatus } from './supervised-process.ts';

/** What the supervisor writes for `mw status`, at every change. */
export type SupervisorState = {
  readonly pid: number;
  readonly startTicks: string;
  readonly phase: 'starting' | 'running' | 'stopping' | 'failed';
  /** Why it failed: one line each. */
  readonly problems: readonly string[];
  readonly processes: readonly ProcessStatus[];
};

const fileOf = (paths: Paths): string => join(paths.home, 'supervisor.json');

export async function writeState(paths: Paths, state: SupervisorState): Promise<void> {
  const temporary = `${fileOf(paths)}.new`;
  await writeFile(temporary, JSON.stringify(state));
  await rename(temporary, fileOf(paths));
}

/** The last state, and whether the supervisor that wrote it still runs. */
export function readState(paths: Paths): { readonly state: SupervisorState; readonly alive: boolean } | null {
  if (!existsSync(fileOf(paths))) return null;
  const state = JSON.parse(readFileSync(fileOf(paths), 'utf8')) as SupervisorState;
  return { state, alive: isAlive(state.pid, state.startTicks) };
}
