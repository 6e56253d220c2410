import { serviceNames } from '../../core/process-names.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { startTicksOf } from '../../platform/process-identity.ts';
import { StartProblems, startStack } from './stack.ts';
import { type SupervisorState, writeState } from './supervisor-state.ts';

/** The background process of `mw up`: starts the stack, keeps it running, and stops it on SIGTERM. */
const paths = resolvePaths(process.env);
const enginesOnly = process.argv.includes('--engines-only');
const writeEveryMs = 500;

let asked = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    asked = true;
  });
}
const base = { pid: process.pid, startTicks: startTicksOf(process.pid), problems: [] as readonly string[] };
const write = async (state: Partial<SupervisorState> & Pick<SupervisorState, 'phase'>): Promise<void> =>
  await writeState(paths, { ...base, processes: [], connector: null, ...state });

await write({ phase: 'starting' });
try {
  const stack = await startStack({
    env: process.env,
    services: enginesOnly ? [] : serviceNames,
    onEvent: (message) => console.log(`${new Date(nowMs()).toISOString()} ${message}`),
  });
  while (!asked) {
    await write({ phase: 'running', ...stack.status() });
    await sleep(writeEveryMs);
  }
  await write({ phase: 'stopping', ...stack.status() });
  await stack.stop();
  await write({ phase: 'stopping', ...stack.status() });
  process.exit(0);
} catch (error) {
  const problems = error instanceof StartProblems ? error.problems : [error instanceof Error ? error.message : String(error)];
  console.error(problems.join('\n'));
  await write({ phase: 'failed', problems });
  process.exit(1);
}
