import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { ControlActivities, RunRecord } from '../activities/ports.ts';
import type { RunKey } from '../core/ids.ts';
import type { RunState, StageName } from '../core/run.ts';
import { controlOptions } from './activity-options.ts';
import { type StageLines, runDetails } from './training-details.ts';
import { showTo } from './visibility.ts';

/** Tells where the run is: the row that the API shows, the search attributes and the page in the Web UI. */
export type RunProgress = {
  readonly begin: (state: RunState, stage: StageName) => Promise<void>;
  readonly end: (state: RunState, stage: StageName, note: string, record?: Omit<RunRecord, 'state'>) => Promise<void>;
  readonly note: (stage: StageName, note: string) => void;
  readonly finish: (record: RunRecord, summary: string) => Promise<void>;
};

export function runProgress(key: RunKey, title: string): RunProgress {
  const control = proxyActivities<ControlActivities>(controlOptions(key.tenantId));
  let stages: StageLines = {};
  const show = (summary = title): void => setCurrentDetails(runDetails(stages, summary));
  show();
  return {
    async begin(state, stage) {
      stages = { ...stages, [stage]: { startedAtMs: Date.now() } };
      show();
      showTo({ phase: state });
      await control.recordRun.executeWithOptions({ ...controlOptions(key.tenantId), summary: `${stage} begins` }, [
        { ...key, state, stage },
      ]);
    },
    async end(state, stage, note, record = {}) {
      const startedAtMs = stages[stage]?.startedAtMs ?? Date.now();
      stages = { ...stages, [stage]: { startedAtMs, endedAtMs: Date.now(), note } };
      show();
      await control.recordRun.executeWithOptions({ ...controlOptions(key.tenantId), summary: `${stage}: ${note}` }, [
        { ...key, state, stage, stageEnded: true, ...record },
      ]);
    },
    note(stage, note) {
      stages = { ...stages, [stage]: { startedAtMs: Date.now(), ...stages[stage], note } };
      show();
    },
    async finish(record, summary) {
      show(summary);
      showTo({ phase: record.state, ...(record.failureClass ? { failureClass: record.failureClass } : {}) });
      await control.recordRun.executeWithOptions({ ...controlOptions(key.tenantId), summary: `the run ${record.state}` }, [
        { ...key, ...record },
      ]);
    },
  };
}
