import type { JobSituation, RunState } from '../core/run.ts';
import type { Json } from '../core/json.ts';
import type { GateVerdict, StoredMetrics } from '../core/model.ts';

/** Answers of the API, as far as the CLI reads them. */
export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null };

export type ImportReport = {
  readonly stored: number;
  readonly updated: number;
  readonly rejected: number;
  readonly errors: readonly { readonly line: number; readonly pointer: string; readonly message: string }[];
  readonly commits: readonly (string | null)[];
};

export type Receipt = {
  readonly commit: string;
  readonly committedAt: string | null;
  readonly stations: readonly { readonly name: string; readonly at: string | null; readonly detail?: string | null }[];
  readonly version?: number | null;
  readonly run?: number | null;
  readonly reason?: string | null;
  readonly tables?: readonly string[];
  readonly customizations?: readonly string[];
  readonly parts?: readonly {
    readonly tenantId: string;
    readonly customizationId: string;
    readonly version: number | null;
    readonly run: number | null;
    readonly reason: string | null;
    readonly stations: Receipt['stations'];
  }[];
};

export type Run = {
  readonly number: number;
  readonly state: RunState;
  /** Its jobs so far. */
  readonly attempt: number;
  readonly trigger: string;
  readonly reason?: string | null;
  readonly failureClass?: string | null;
  readonly dataset: unknown;
  readonly progress: {
    readonly phase?: string;
    readonly step: number;
    readonly steps: number;
    readonly loss: number | null;
    readonly etaMs: number | null;
    /** Absent where trainings are local processes. */
    readonly job?: JobSituation;
  } | null;
  readonly paused?: { readonly since: string; readonly by: string; readonly reason: string | null } | null;
  readonly gpuSeconds?: number | null;
  readonly metrics: StoredMetrics | null;
  readonly verdict: GateVerdict | null;
  readonly version?: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly stages: readonly { readonly name: string; readonly startedAt: string; readonly endedAt: string | null }[];
};

export type ModelVersion = {
  readonly version: number;
  readonly run: number;
  readonly dataset: { readonly digest: string; readonly rows: number; readonly cut: string };
  readonly baseModel: { readonly name: string; readonly languages: readonly string[]; readonly why: string } | null;
  readonly metrics: StoredMetrics;
  readonly verdict: GateVerdict;
  readonly aliases: readonly string[];
  /** When its files were removed from the store. */
  readonly removed?: string;
  readonly damaged?: { readonly since: string; readonly detail: string };
  readonly held?: boolean;
  readonly bytes: number;
  readonly storedBytes: number;
};

export type Predictions = {
  readonly version: number;
  /** The fields are those of the business model. */
  readonly outputs: readonly { readonly [field: string]: Json }[];
  /** For feedback, in the order of the outputs. */
  readonly predictionIds: readonly string[];
};
