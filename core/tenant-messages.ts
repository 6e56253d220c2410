import type { FailureClass } from './failure-types.ts';
import type { Policy } from './policy.ts';

/** Names of signals, updates and queries: past tense for signals save the operators' own, imperative for updates. */
export const messageNames = {
  changesSensed: 'changesSensed',
  changesMissed: 'changesMissed',
  schemaChanged: 'schemaChanged',
  runFinished: 'runFinished',
  retrain: 'retrain',
  pauseCustomization: 'pauseCustomization',
  resumeCustomization: 'resumeCustomization',
  cancelRun: 'cancelRun',
  promoteModel: 'promoteModel',
  rollbackModel: 'rollbackModel',
  approveSchema: 'approveSchema',
  getStatus: 'getStatus',
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
export type CancelRunRequest = {
  readonly customizationId: string;
  readonly run?: number;
  readonly actor?: string;
  readonly reason?: string;
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
};

export type TenantStatus = { readonly tenantId: string; readonly customizations: readonly CustomizationStatus[] };
