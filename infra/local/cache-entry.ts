import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nowMs, sleep } from '../../platform/clock.ts';
import { isAlive, startTicksOf } from '../../platform/process-identity.ts';
import type { ProvisionContext } from './provision-context.ts';

/** Written last: a folder without it is an interrupted build. */
const stampName = '.complete';
const lockPollMs = 500;
/** Between making a lock and writing its owner into it lie microseconds: an empty one that is older was left by a process that died there. */
const emptyLockMs = 10_000;

export const isComplete = (folder: string): boolean => existsSync(join(folder, stampName));

/**
 * Builds a cache folder once: into a temporary folder, then renamed. Two processes that want the same folder wait for each other;
 * a lock whose owner is gone is taken over.
 */
export async function buildCacheEntry(
  context: ProvisionContext,
  folder: string,
  build: (temporary: string) => Promise<void>,
): Promise<void> {
  if (isComplete(folder)) return;
  await mkdir(context.paths.cache, { recursive: true });
  await holdingLock(`${folder}.lock`, context, async () => {
    if (isComplete(folder)) return;
    const temporary = `${folder}.building`;
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    await build(temporary);
    await writeFile(join(temporary, stampName), `${new Date().toISOString()}\n`);
    await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
  });
}

/** Does something that two processes must not do at once. */
export async function holdingLock<Result>(
  lock: string,
  context: Pick<ProvisionContext, 'report' | 'signal'>,
  work: () => Promise<Result>,
): Promise<Result> {
  await takeLock(lock, context);
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function takeLock(lock: string, context: Pick<ProvisionContext, 'report' | 'signal'>): Promise<void> {
  let told = false;
  for (;;) {
    context.signal.throwIfAborted();
    try {
      const file = await open(lock, 'wx');
      await file.writeFile(`${process.pid} ${startTicksOf(process.pid)}`);
      await file.close();
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const [pid = '0', ticks = ''] = (await readFile(lock, 'utf8').catch(() => '')).split(' ');
    const madeMs = (await stat(lock).catch(() => null))?.mtimeMs ?? nowMs();
    if (ticks === '' ? nowMs() - madeMs > emptyLockMs : !isAlive(Number(pid), ticks)) {
      await rm(lock, { force: true });
      continue;
    }
    if (!told) context.report(`waiting for process ${pid}, which works on the same`);
    told = true;
    await sleep(lockPollMs, undefined, { signal: context.signal });
  }
}
