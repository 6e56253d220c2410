import { randomInt } from 'node:crypto';
import { globSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import type { ProcessSpec } from './process-spec.ts';

/** The process that listens on a TCP port, as /proc shows it to this user; null when it cannot be known. */
export function listenerOf(port: number): { readonly pid: number; readonly command: string } | null {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    try {
      for (const line of readFileSync(table, 'utf8').split('\n')) {
        const fields = line.trim().split(/\s+/);
        if (fields[1]?.endsWith(`:${hex}`) && fields[3] === '0A' && fields[9]) inodes.add(`socket:[${fields[9]}]`);
      }
    } catch {
      return null;
    }
  }
  if (inodes.size === 0) return null;
  for (const descriptor of globSync('/proc/[0-9]*/fd/*')) {
    try {
      if (!inodes.has(readlinkSync(descriptor))) continue;
      const pid = Number(descriptor.split('/')[2]);
      return { pid, command: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() };
    } catch {
      // Another user's process, or one that has just ended.
    }
  }
  return null;
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** One sentence for each port that is taken: which, by whom, and what to do. */
export async function portProblems(specs: readonly ProcessSpec[]): Promise<string[]> {
  const problems: string[] = [];
  for (const { name, ports } of specs) {
    for (const { port, variable } of ports) {
      if (await isFree(port)) continue;
      const owner = listenerOf(port);
      const by = owner ? `process ${owner.pid} (${owner.command})` : 'another process';
      problems.push(`port ${port} for ${name} is taken by ${by}: stop it, or set ${variable} to a free port`);
    }
  }
  return problems;
}

/**
 * Ports of this machine's loopback that nobody listens on now, all different, by chance.
 * They lie below those that the kernel gives to connections (ip_local_port_range): those may be taken again before a process that starts listens,
 * as the ones that `listen(0)` finds are. Also below Kubernetes' node ports, from 30000 on.
 */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < count) {
    const port = randomInt(20_000, 30_000);
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}
