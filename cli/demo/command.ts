import { Option } from 'commander';
import { demoDataFile, demoDataProvisioner } from '../../infra/local/demo-data.ts';
import { provisionAll } from '../../infra/local/provision.ts';
import { stopSupervisor } from '../../infra/local/supervisor.ts';
import { readState } from '../../infra/local/supervisor-state.ts';
import { nowMs } from '../../platform/clock.ts';
import { parseSettings } from '../../platform/config.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { bringUpCluster } from '../cluster.ts';
import { CommandError, type RegisterCommand } from '../command.ts';
import { apiUrl } from '../credentials.ts';
import { tenantOf } from '../customize.ts';
import { Screen } from '../screen.ts';
import { bringUp } from '../up.ts';
import { count, duration } from '../wording.ts';
import { runDemo, summary } from './demo.ts';
import { planDemo, readRows } from './demo-data.ts';

/** Where the trainings of what is about to be started run. */
async function trainOn(executor: 'process' | 'kubernetes', started: boolean, signal: AbortSignal): Promise<void> {
  if (!started)
    throw new CommandError('Modelwright runs already, with its own MW_EXECUTOR: run `./mw down` first, or the demo without --executor');
  process.env['MW_EXECUTOR'] = executor;
  if (executor === 'process' || process.env['MW_KUBECONFIG'] !== undefined) return;
  const { settings } = await bringUpCluster({ nodes: 2, gpus: 2, image: true }, signal);
  Object.assign(process.env, settings);
}

export const registerDemo: RegisterCommand = (program) => {
  program
    .command('demo')
    .description('the whole job on real data: start everything, teach, watch, predict, teach more')
    .option('--data <file>', 'your own .jsonl or .csv with text and label (default: BBC news)')
    .addOption(
      new Option(
        '--executor <where>',
        'where it trains; kubernetes: as Jobs on the cluster of MW_KUBECONFIG, or on one of its own',
      ).choices(['process', 'kubernetes']),
    )
    .action(async (options: { data?: string; executor?: 'process' | 'kubernetes' }) => {
      const paths = resolvePaths(process.env);
      const screen = new Screen(process.stdout.isTTY && process.stdin.isTTY);
      const remote = process.env['MW_URL'] !== undefined;
      const asked = new AbortController();
      let started = false;
      const interrupt = (): void => {
        if (asked.signal.aborted) process.exit(130);
        asked.abort(new CommandError('stopped on request'));
      };
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, interrupt);
      try {
        const beganMs = nowMs();
        if (options.data === undefined) await provisionAll([demoDataProvisioner], paths, asked.signal, screen.live);
        const plan = planDemo(await readRows(options.data ?? demoDataFile(paths)));
        if (!remote) {
          started = !(readState(paths)?.alive ?? false);
          if (options.executor !== undefined) await trainOn(options.executor, started, asked.signal);
          await bringUp(false, asked.signal);
        }
        screen.line(`everything runs after ${duration(nowMs() - beganMs)}`);
        const api = await tenantOf('demo', 'Demo');
        const outcome = await runDemo(api, plan, screen, asked.signal);
        screen.line();
        screen.line(summary(outcome));
        screen.line();
        screen.line(`examples     ${count(plan.first.length + plan.later.length)} learned, ${count(plan.heldOut.length)} never shown`);
        screen.line(`API          ${apiUrl()}   reference: ${apiUrl()}/docs`);
        if (!remote) screen.line(`Temporal UI  http://127.0.0.1:${parseSettings(process.env).MW_TEMPORAL_UI_PORT}`);
        if (started && screen.live) {
          screen.line();
          screen.line('Everything keeps running for you to look at. Ctrl-C stops it.');
          await new Promise<void>((resolve) => asked.signal.addEventListener('abort', () => resolve(), { once: true }));
        }
      } catch (error) {
        if (!asked.signal.aborted) throw error;
        process.exitCode = 130;
      } finally {
        if (started) {
          screen.line('stopping ...');
          await stopSupervisor(paths);
          screen.line('stopped; `./mw up` starts it again with all its data');
          if (process.env['MW_EXECUTOR'] === 'kubernetes') screen.line('the cluster still runs; `./mw cluster down` ends it');
        }
      }
    });
};
