import { readFileSync } from 'node:fs';

/** Start time of a process in clock ticks since boot: with the pid it names a process for ever. '' when there is none, or no /proc. */
export function startTicksOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces; state is field 3, start time field 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : (fields[19] ?? '');
  } catch {
    return '';
  }
}

/** Whether the very process that had these start ticks still runs. */
export const isAlive = (pid: number, startTicks: string): boolean => startTicks !== '' && startTicksOf(pid) === startTicks;
