import { serviceNames } from '../../core/process-names.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { startTicksOf } from '../../platform/process-identity.ts';
import { type Stack, StartProblems, startStack } from './stack.ts';
import { type SupervisorState, writeState } from './supervisor-state.ts';

/** The background process of `mw up`: starts the stack, keeps it running, and stops it on SIGTERM. */
const paths = resolvePaths(process.env);
const enginesOnly = process.argv.includes('--engines-only');
const writeEveryMs = 250;

const asked = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    asked.abort();
  });
}
const base = { pid: process.pid, startTicks: startTicksOf(process.pid), problems: [] as readonly string[] };
const write = async (state: Partial<SupervisorState> & Pick<SupervisorState, 'phase'>): Promise<void> =>
  await writeState(paths, { ...base, processes: [], ...state });

await write({ phase: 'starting' });
let phase: SupervisorState['phase'] = 'starting';
let status: Stack['status'] = () => ({ processes: [] });
const told = new AbortController();
const telling = (async () => {
  while (!told.signal.aborted) {
    await write({ phase, ...status() });
    await sleep(writeEveryMs);
  }
})();
try {
  const stack = await startStack({
    env: process.env,
    services: enginesOnly ? [] : serviceNames,
    onEvent: (message) => console.log(`${new Date(nowMs()).toISOString()} ${message}`),
    onStatus: (tell) => (status = tell),
  });
  phase = 'running';
  while (!asked.signal.aborted) await sleep(writeEveryMs);
  phase = 'stopping';
  await stack.stop();
  told.abort();
  await telling;
  await write({ phase: 'stopping', ...status() });
  process.exit(0);
} catch (error) {
  told.abort();
  await telling;
  const problems = error instanceof StartProblems ? error.problems : [error instanceof Error ? error.message : String(error)];
  console.error(problems.join('\n'));
  await write({ phase: 'failed', problems });
  process.exit(1);
}
