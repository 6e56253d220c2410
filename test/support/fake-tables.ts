import type { TrainingOverrides } from '../../activities/ports.ts';
import type { Policy } from '../../core/policy.ts';
import type { RunOutcome, RunPause, RunState } from '../../core/run.ts';
import type { FakeSchema } from './fake-schema.ts';

/** What the fake platform keeps of each customization. */
export type Dataset = {
  readonly number: number;
  readonly rows: ReadonlyMap<string, string>;
  readonly digest: string;
  readonly cut: string;
};
export type FakeRun = {
  readonly number: number;
  readonly requestKey: string;
  readonly trigger: string;
  state: RunState;
  reason: string | null;
  attempt: number;
  dataset: number | null;
  version: number | null;
  startedAtMs: number;
  states: RunState[];
  failureClass: RunOutcome['failureClass'];
  paused: RunPause | null;
  gpuSeconds: number | null;
};
export type FakeCustomization = {
  policy: Policy;
  state: 'active' | 'paused';
  options: { readonly [name: string]: string };
  readonly table: Map<string, string>;
  readonly schema: FakeSchema;
  readonly datasets: Dataset[];
  readonly runs: FakeRun[];
  readonly trainings: { run: number; attempt: number; overrides: TrainingOverrides; rows: number }[];
  readonly learned: Map<string, number>;
  trainedOptions: string | null;
  production: number | null;
  previous: number | null;
};
