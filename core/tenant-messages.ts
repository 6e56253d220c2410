import type { LogPosition } from './change-digest.ts';
import type { DirtyBuckets } from './dirty-buckets.ts';
import type { FailureClass } from './failure-types.ts';
import type { Policy } from './policy.ts';
import type { RunPause } from './run.ts';
import type { HeldSchema } from './schema-change.ts';

/** Names of signals, updates and queries: past tense for signals save the operators' own, imperative for updates. */
export const messageNames = {
  changesSensed: 'changesSensed',
  changesMissed: 'changesMissed',
  schemaChanged: 'schemaChanged',
  runFinished: 'runFinished',
  pauseAnswered: 'pauseAnswered',
  retrain: 'retrain',
  pauseCustomization: 'pauseCustomization',
  resumeCustomization: 'resumeCustomization',
  cancelRun: 'cancelRun',
  pauseRun: 'pauseRun',
  resumeRun: 'resumeRun',
  promoteModel: 'promoteModel',
  rollbackModel: 'rollbackModel',
  approveSchema: 'approveSchema',
  getStatus: 'getStatus',
  getPending: 'getPending',
  explainWhy: 'explainWhy',
} as const;

/**
 * The log had a gap, or a comparison found rows that no digest told of: what it hid is unknown, so the tables are compared as a whole.
 * `customizationIds` null: every customization of the tenant. Told twice, it costs a second comparison and nothing else.
 */
export type ChangesMissed = {
  readonly customizationIds: readonly string[] | null;
  /** Customizations whose settings may have changed in the gap, or that may be gone: they are read again. */
  readonly settingsIds?: readonly string[];
  readonly reason: string;
};

/** Plain JSON that a person can type into the Web UI. */
export type RetrainRequest = {
  readonly customizationId: string;
  readonly reason?: string;
  readonly force?: boolean;
  readonly actor?: string;
};
export type CustomizationRequest = { readonly customizationId: string; readonly actor?: string; readonly reason?: string };
/** Of cancelRun, pauseRun and resumeRun. `run` absent: the active one. */
export type ActiveRunRequest = {
  readonly customizationId: string;
  readonly run?: number;
  readonly actor?: string;
  readonly reason?: string;
};
/** What pauseRun and resumeRun answer. */
export type RunPauseState = {
  readonly run: number;
  /** After pauseRun null: the job has not stopped in time; it still stops, and the run is paused then. */
  readonly paused: RunPause | null;
};
/** Asked of a run by its tenant. Told twice, it is answered twice and done once. */
export type PauseAsked = { readonly request: string; readonly by: string; readonly reason: string | null };
/** What became of it: told to the tenant when the job is really stopped, or goes on, or why neither happens. */
export type PauseAnswered = {
  readonly customizationId: string;
  readonly run: number;
  readonly request: string;
  readonly accepted: boolean;
  /** Why it was refused. */
  readonly message: string | null;
  readonly paused: RunPause | null;
};
export type PromoteRequest = {
  readonly customizationId: string;
  readonly version: number;
  readonly force?: boolean;
  readonly reason?: string;
  readonly actor?: string;
};
export type RollbackRequest = { readonly customizationId: string; readonly reason?: string; readonly actor?: string };
export type AliasesAfter = { readonly production: number | null; readonly previous: number | null };

export type CustomizationPhase = 'idle' | 'waiting' | 'planning' | 'training' | 'paused' | 'held' | 'proposed';

/** Times are Unix epoch milliseconds. */
export type CustomizationStatus = {
  readonly customizationId: string;
  readonly phase: CustomizationPhase;
  /** One sentence: why it is in this phase and what happens next. */
  readonly why: string;
  readonly pending: {
    readonly inserted: number;
    readonly updated: number;
    readonly deleted: number;
    readonly sinceMs: number | null;
    readonly dueAtMs: number | null;
  };
  readonly activeRun: number | null;
  readonly lastFailure: { readonly run: number; readonly failureClass: FailureClass | null; readonly reason: string | null } | null;
  readonly production: number | null;
  /** Age of the oldest commit that no dataset contains yet. */
  readonly lagMs: number;
  readonly policy: Policy;
  /** The change of structure that freezes training; null or absent: none does. */
  readonly heldSchema?: HeldSchema | null;
  /** False while its settings are being read: nothing else can be said then. */
  readonly loaded?: boolean;
};

export type TenantStatus = { readonly tenantId: string; readonly customizations: readonly CustomizationStatus[] };

/** What a comparison of table and dataset asks: which buckets the workflow knows to differ, and how far it has counted the log. */
export type TenantPending = {
  /** By `topic/partition`, then by the GTID's source: the last position that was counted. */
  readonly watermarks: Readonly<Record<string, Readonly<Record<string, LogPosition>>>>;
  readonly customizations: Readonly<
    Record<
      string,
      {
        readonly phase: CustomizationPhase;
        readonly why: string;
        /** Buckets of changes that wait or are being learned; null: all of them. */
        readonly buckets: DirtyBuckets | null;
      }
    >
  >;
};
