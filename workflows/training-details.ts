import { type StageName, stageNames } from '../core/run.ts';
import { duration } from './wording.ts';

/** A stage as the run's page shows it. */
export type StageLine = { readonly startedAtMs: number; readonly endedAtMs?: number; readonly note?: string };
export type StageLines = Readonly<Partial<Record<StageName, StageLine>>>;

/** The live stage table on the run's page in the Temporal Web UI. */
export function runDetails(stages: StageLines, summary: string): string {
  const rows = stageNames.map((name) => {
    const line = stages[name];
    const state = !line ? '-' : line.endedAtMs === undefined ? 'running' : `done in ${duration(line.endedAtMs - line.startedAtMs)}`;
    const since = line ? new Date(line.startedAtMs).toISOString().slice(11, 19) : '-';
    return `| ${name} | ${state} | ${since} | ${(line?.note ?? '').replaceAll('|', '\\|').replaceAll('\n', ' ')} |`;
  });
  return [summary, '', '| stage | state | since (UTC) | |', '|---|---|---|---|', ...rows].join('\n');
}
