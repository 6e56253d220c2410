import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { stopJob } from './process-executor.ts';

/** Ends every local training of an installation, each with a checkpoint: the next start goes on from there. */
export async function stopLocalJobs(jobsDir: string): Promise<void> {
  const folders = await readdir(jobsDir).catch(() => []);
  await Promise.all(folders.map((name) => stopJob(join(jobsDir, name))));
}
