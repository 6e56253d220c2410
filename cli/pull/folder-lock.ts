import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { randomBytes, randomUUID, sleep } from '../../platform/clock.ts';
import { CommandError } from '../command.ts';

const attempts = 5;
const name = /^lock\.(\d+)\.[0-9a-f-]+\.(.+)$/;

/**
 * Makes `folder` ours until the returned function is called or we die. Everyone writes a lock of their own and then looks for others: of two at
 * once both may give way, never none. A lock of a process that is no more does not count.
 */
export async function lockFolder(folder: string, whatFor: string): Promise<() => Promise<void>> {
  const host = hostname();
  const own = `lock.${process.pid}.${randomUUID()}.${host}`;
  let other = '';
  for (let attempt = 0; attempt < attempts; attempt++) {
    await mkdir(folder, { recursive: true });
    try {
      await writeFile(join(folder, own), '', { flag: 'wx' });
    } catch (error) {
      // Another pull was done and took the folder away in between.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    const others: string[] = [];
    for (const file of await readdir(folder)) {
      const [, pid, where] = name.exec(file) ?? [];
      if (pid === undefined || file === own) continue;
      if (where === host && !isAlive(Number(pid))) await rm(join(folder, file), { force: true });
      else others.push(file);
    }
    if (others.length === 0)
      return async () => {
        await rm(join(folder, own), { force: true });
        await rmdir(folder).catch(() => undefined);
      };
    other = others[0] ?? '';
    await rm(join(folder, own), { force: true });
    await sleep(50 + (randomBytes(1)[0] ?? 0));
  }
  const [, pid = '?', where = '?'] = name.exec(other) ?? [];
  throw new CommandError(
    `process ${pid} on ${where} is writing to ${whatFor}: wait for it, or choose another folder (if it is dead, delete ${join(folder, other)})`,
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
