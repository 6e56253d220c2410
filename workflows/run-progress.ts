import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { ControlActivities, RunRecord } from '../activities/ports.ts';
import type { RunKey } from '../core/ids.ts';
import type { RunPause, RunState, StageName } from '../core/run.ts';
import { controlOptions } from './activity-options.ts';
import { type StageLines, runDetails } from './training-details.ts';
import { showTo } from './visibility.ts';
import { clockTime } from './wording.ts';

/** Tells where the run is: the row that the API shows, the search attributes and the page in the Web UI. */
export type RunProgress = {
  readonly begin: (state: RunState, stage: StageName) => Promise<void>;
  readonly end: (state: RunState, stage: StageName, note: string, record?: Omit<RunRecord, 'state'>) => Promise<void>;
  readonly note: (stage: StageName, note: string) => void;
  /** The training is stopped until somebody resumes it. */
  readonly pause: (pause: RunPause, gpuSeconds: number | null) => Promise<void>;
  readonly resume: () => Promise<void>;
  readonly finish: (record: RunRecord, summary: string) => Promise<void>;
};

export function runProgress(key: RunKey, title: string): RunProgress {
  const control = proxyActivities<ControlActivities>(controlOptions(key.tenantId));
  let stages: StageLines = {};
  const show = (summary = title): void => setCurrentDetails(runDetails(stages, summary));
  const mark = (stage: StageName, note: string): void => {
    stages = { ...stages, [stage]: { startedAtMs: Date.now(), ...stages[stage], note } };
  };
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
      mark(stage, note);
      show();
    },
    async pause(pause, gpuSeconds) {
      const note = `paused since ${clockTime(pause.sinceMs)} by ${pause.by}${pause.reason === null ? '' : `: ${pause.reason}`}`;
      mark('train', note);
      show(`${title}\n\n**Paused**: update \`resumeRun\` of the tenant's workflow goes on from the checkpoint.`);
      showTo({ phase: 'paused' });
      await control.recordRun.executeWithOptions({ ...controlOptions(key.tenantId), summary: 'the run is paused' }, [
        { ...key, state: 'training', paused: pause, ...(gpuSeconds === null ? {} : { gpuSeconds }) },
      ]);
    },
    async resume() {
      mark('train', `resumed at ${clockTime(Date.now())}`);
      show();
      showTo({ phase: 'training' });
      await control.recordRun.executeWithOptions({ ...controlOptions(key.tenantId), summary: 'the run goes on' }, [
        { ...key, state: 'training', paused: null },
      ]);
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
