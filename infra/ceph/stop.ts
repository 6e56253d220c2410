import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { killAll, processesOf } from '../cluster/daemon.ts';
import type { CephPlace } from './place.ts';

/** Ends everything of a Ceph, whoever started it and however far that came, and deletes what it stored. False when there was nothing. */
export async function stopCeph(place: CephPlace): Promise<boolean> {
  const found = existsSync(place.home) || processesOf(place).length > 0;
  await killAll(() => processesOf(place));
  await rm(place.home, { recursive: true, force: true, maxRetries: 3 });
  return found;
}
