import { readFileSync } from 'node:fs';

/** Kernel ticks of CPU time: 100 a second on every Linux that runs this. */
const microsecondsPerTick = 10_000;

/** CPU that a process has used so far, microseconds of all its threads. Linux only. */
export function cpuMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold spaces; user and system time are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * microsecondsPerTick;
}

/** A process and all that it has started. */
export function processTree(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(processTree)];
}

/** Memory that a process holds now, bytes. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

/** Calls `sample` until the returned function is called; failures of a sample (the process is gone) are passed over. */
export function sampleEvery(intervalMs: number, sample: () => void): () => void {
  const timer = setInterval(() => {
    try {
      sample();
    } catch {
      // Between two lives of the process.
    }
  }, intervalMs);
  return () => clearInterval(timer);
}
