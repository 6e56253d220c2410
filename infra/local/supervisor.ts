import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sleep } from '../../platform/clock.ts';
import type { Paths } from '../../platform/paths.ts';
import { isAlive } from '../../platform/process-identity.ts';
import { StartProblems } from './stack.ts';
import { readState, type SupervisorState } from './supervisor-state.ts';

const pollMs = 150;
const startDeadlineMs = 300_000;
const stopDeadlineMs = 120_000;

/** Starts the supervisor in the background and waits until everything is ready. Returns at once when it runs already. */
export async function startSupervisor(
  paths: Paths,
  enginesOnly: boolean,
  signal: AbortSignal,
  onState: (state: SupervisorState) => void,
): Promise<void> {
  const before = readState(paths);
  if (before?.alive && before.state.phase === 'running') return;
  let pid = before?.alive ? before.state.pid : 0;
  if (pid === 0) {
    const log = paths.logFile('supervisor');
    mkdirSync(dirname(log), { recursive: true });
    const out = openSync(log, 'a');
    const child = spawn(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        join(import.meta.dirname, 'supervisor-main.ts'),
        ...(enginesOnly ? ['--engines-only'] : []),
      ],
      { detached: true, stdio: ['ignore', out, out], env: process.env },
    );
    closeSync(out);
    child.unref();
    pid = child.pid ?? 0;
  }
  for (let waitedMs = 0; waitedMs < startDeadlineMs; waitedMs += pollMs) {
    await sleep(pollMs, undefined, { signal });
    const now = readState(paths);
    if (!now || now.state.pid !== pid) continue;
    onState(now.state);
    if (now.state.phase === 'running') return;
    if (now.state.phase === 'failed') throw new StartProblems(now.state.problems);
    if (!now.alive) throw new StartProblems(['the supervisor ended while starting: see `./mw logs supervisor`']);
  }
  throw new StartProblems([`the stack is not ready after ${startDeadlineMs / 1000} s: see \`./mw status\` and \`./mw logs supervisor\``]);
}

/** Asks the supervisor to stop everything and waits for its end. Returns false when none runs. */
export async function stopSupervisor(paths: Paths): Promise<boolean> {
  const now = readState(paths);
  if (!now?.alive) return false;
  process.kill(now.state.pid, 'SIGTERM');
  for (let waitedMs = 0; isAlive(now.state.pid, now.state.startTicks); waitedMs += pollMs) {
    if (waitedMs > stopDeadlineMs) throw new Error(`process ${now.state.pid} (the supervisor) did not end in ${stopDeadlineMs / 1000} s`);
    await sleep(pollMs);
  }
  return true;
}
