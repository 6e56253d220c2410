import type { Json } from './json.ts';
import type { Policy } from './policy.ts';
import type { TenantQuotas } from './quotas.ts';
import type { RunPause, RunState } from './run.ts';
import type { HeldSchema } from './schema-change.ts';

export type CustomizationState = 'active' | 'paused';

/** A customization as the tenant workflow needs it: settings, and what was last built and published. */
export type CustomizationSnapshot = {
  readonly customizationId: string;
  readonly name: string;
  readonly businessModel: string;
  readonly state: CustomizationState;
  readonly policy: Policy;
  /** SHA-256 of the canonical options: a change of it is a reason to train. */
  readonly optionsDigest: string;
  readonly options: { readonly [name: string]: Json };
  readonly lastDataset: { readonly number: number; readonly digest: string; readonly rows: number; readonly cut: string } | null;
  readonly lastRun: { readonly number: number; readonly state: RunState; readonly paused?: RunPause | null } | null;
  /** Options of the last training that ended well; null or absent: none did. */
  readonly trainedOptionsDigest?: string | null;
  readonly production: number | null;
  /** A change of structure that waits for a person; null or absent: none. */
  readonly heldSchema?: HeldSchema | null;
  /** Runs started, and training time spent, in the last 24 hours: for maxRunsPerDay and the budget after a lost workflow. */
  readonly recentRuns: readonly { readonly startedAtMs: number; readonly trainingMs: number }[];
  /** Of the whole tenant. Absent in snapshots from before there were quotas. */
  readonly tenantQuotas?: TenantQuotas;
};
