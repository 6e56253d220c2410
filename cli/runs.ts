import { primaryText } from '../core/metrics.ts';
import type { Page, Run } from './api-types.ts';
import { type RegisterCommand, printJson } from './command.ts';
import { tenantClient } from './credentials.ts';
import { duration, table } from './wording.ts';

type Answer = {
  readonly run: number;
  readonly paused?: { readonly since: string } | null;
  readonly pausing?: boolean;
  readonly resuming?: boolean;
};
type Options = { readonly reason?: string; readonly json?: boolean };

/** What a run waits for, or why it ended as it did. */
function why({ paused, progress, reason }: Run): string {
  if (paused) return `paused by ${paused.by} at ${paused.since.slice(11, 16)} UTC${paused.reason === null ? '' : `: ${paused.reason}`}`;
  return progress?.job?.why ?? reason ?? '';
}

export const registerRuns: RegisterCommand = (program) => {
  const runs = program.command('runs').description('training runs of a customization: list, pause, resume, cancel');
  runs
    .command('list', { isDefault: true })
    .description('the latest first')
    .argument('<customization>')
    .option('--json', 'print one JSON document')
    .action(async (customization: string, options: { json?: boolean }) => {
      const page = await tenantClient().call<Page<Run>>('GET', `/v1/customizations/${customization}/runs?limit=50`);
      if (options.json) return printJson(page);
      const rows = page.items.map((run) => [
        String(run.number),
        run.paused ? 'paused' : run.state,
        run.trigger,
        run.version ? `v${run.version}` : '-',
        run.metrics ? primaryText(run.metrics) : '-',
        run.startedAt && run.endedAt ? duration(Date.parse(run.endedAt) - Date.parse(run.startedAt)) : '-',
        run.gpuSeconds === null || run.gpuSeconds === undefined ? '-' : duration(run.gpuSeconds * 1_000),
        why(run),
      ]);
      console.log(table(['run', 'state', 'trigger', 'version', 'quality', 'took', 'GPU time', 'why'], rows));
    });

  const act = (verb: 'pause' | 'resume' | 'cancel', description: string, say: (answer: Answer) => string): void => {
    runs
      .command(verb)
      .description(description)
      .argument('<customization>')
      .argument('<run>')
      .option('--reason <text>')
      .option('--json', 'print one JSON document')
      .action(async (customization: string, run: string, { reason, json }: Options) => {
        const answer = await tenantClient().call<Answer>(
          'POST',
          `/v1/customizations/${customization}/runs/${run}:${verb}`,
          reason === undefined ? {} : { reason },
        );
        if (json) printJson(answer);
        else console.log(say(answer));
      });
  };
  act('pause', 'stop the job of a run that trains, with a checkpoint', ({ run, pausing }) =>
    pausing ? `run ${run} is being paused: its job has not stopped yet` : `run ${run} is paused: its job is stopped, with a checkpoint`,
  );
  act('resume', 'let a paused run go on from its checkpoint', ({ run, resuming }) =>
    resuming ? `run ${run} is about to go on` : `run ${run} goes on from its checkpoint`,
  );
  act('cancel', 'stop a run for good: its changes wait for the next one', ({ run }) => `run ${run} is being cancelled`);
};
