import type { FailureClass } from './failure-types.ts';

export const runStates = [
  'queued',
  'building',
  'training',
  'gating',
  'sharding',
  'publishing',
  'succeeded',
  'skipped',
  'rejected',
  'failed',
  'cancelled',
] as const;
export type RunState = (typeof runStates)[number];
export const endedRunStates: readonly RunState[] = ['succeeded', 'skipped', 'rejected', 'failed', 'cancelled'];

export const stageNames = ['dataset', 'train', 'gate', 'shard', 'publish'] as const;
export type StageName = (typeof stageNames)[number];

/** Times are Unix epoch milliseconds. */
export type StageTimes = { readonly name: StageName; readonly startedAtMs: number; readonly endedAtMs?: number };

export type RunTrigger = 'changes' | 'deletion' | 'configuration' | 'retrain' | 'recovery';

/** Where a training's job stands on its cluster. */
export type JobSituation = {
  readonly state: 'queued' | 'pending' | 'starting' | 'running';
  /** Why it does not run yet, in words; null while it runs. */
  readonly why: string | null;
  /** 1 is the next one of its queue; null where there is no queue, or its order is not known. */
  readonly queuePosition: number | null;
  readonly node: string | null;
  readonly tier: string;
  readonly workers: number;
  /** GPUs that it holds or asks for, all workers together. */
  readonly gpus: number;
  /** What this attempt has used so far: GPUs times the seconds that its pods held them. */
  readonly gpuSeconds: number;
  /** What the cluster said of it last, the newest last: reason and message. */
  readonly events: readonly string[];
};

/** Live progress of a training, as the trainer prints it. */
export type TrainingProgress = {
  readonly phase: 'load' | 'embed' | 'train' | 'evaluate' | 'export' | 'upload';
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly loss: number | null;
  readonly etaMs: number | null;
  /** Absent where trainings are local processes. */
  readonly job?: JobSituation;
};

/** A run that a person has paused while it trained: its job is stopped, and its CPU or GPU is free. */
export type RunPause = {
  readonly sinceMs: number;
  readonly by: string;
  readonly reason: string | null;
};

/** How a run ended; what `runFinished` tells the tenant workflow. */
export type RunOutcome = {
  readonly customizationId: string;
  readonly run: number;
  readonly state: Extract<RunState, 'succeeded' | 'skipped' | 'rejected' | 'failed' | 'cancelled'>;
  readonly reason: string | null;
  readonly failureClass: FailureClass | null;
  /** The dataset that was built, if any, and the GTID set of its cut. */
  readonly dataset: { readonly number: number; readonly digest: string; readonly rows: number; readonly cut: string } | null;
  readonly version: number | null;
  readonly trainingMs: number;
  /** Of all attempts; absent where no GPU was used. */
  readonly gpuSeconds?: number;
};
