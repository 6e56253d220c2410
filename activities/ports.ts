import type { CustomizationSnapshot, CustomizationState } from '../core/customization.ts';
import type { DatasetRef } from '../core/dataset.ts';
import type { DirtyBuckets } from '../core/dirty-buckets.ts';
import type { FailureClass } from '../core/failure-types.ts';
import type { CustomizationKey, RunKey } from '../core/ids.ts';
import type { ForgettingKey, ForgettingStep } from '../core/forgetting.ts';
import type { GateVerdict, TrainingMetrics } from '../core/model.ts';
import type { ObjectRef } from '../core/object-ref.ts';
import type { GpuUse, TenantQuotas } from '../core/quotas.ts';
import type { RunOutcome, RunPause, RunState, RunTrigger, StageName } from '../core/run.ts';
import type { SchemaAction, SchemaDecided } from '../core/schema-change.ts';
import type { GcReport, ScrubPart, ScrubReport, ScrubShare, SweepReport } from '../core/store-care.ts';
import type { AliasesAfter } from '../core/tenant-messages.ts';
import type { VerificationResult } from '../core/verification.ts';

/** The activities as the workflows see them, one type a task queue. Each is idempotent; its comment names the key. */

/** Task queue `orchestrator`: short statements against the control database. */
export type ControlActivities = {
  /** Everything of a tenant, for a workflow that starts with nothing. Read-only. */
  loadTenant(input: { readonly tenantId: string }): Promise<{
    readonly customizations: readonly CustomizationSnapshot[];
    /** Absent in histories from before there were quotas, as is gpuUse. */
    readonly quotas?: TenantQuotas;
    /** Of the last 24 hours, deleted customizations included. */
    readonly gpuUse?: readonly GpuUse[];
  }>;
  /** Null when it was deleted. Read-only. */
  loadCustomization(input: CustomizationKey): Promise<CustomizationSnapshot | null>;
  /** How a run ended; null while it has not. Read-only. */
  loadRun(input: RunKey): Promise<RunOutcome | null>;
  /** Writes `active` or `paused` to the customization's row, and audit. Fails with CustomizationGone where there is none. Key: the state. */
  setCustomizationState(
    input: CustomizationKey & { readonly state: CustomizationState; readonly actor: string; readonly reason: string | null },
  ): Promise<void>;
  /** Allocates the next run number. Key: requestKey. */
  openRun(
    input: CustomizationKey & { readonly requestKey: string; readonly trigger: RunTrigger; readonly reason: string | null },
  ): Promise<{ readonly run: number }>;
  /** Why no run was started for the changes up to the cut. Key: decisionKey. */
  recordDecision(
    input: CustomizationKey & { readonly decisionKey: string; readonly kind: string; readonly reason: string; readonly cut: string },
  ): Promise<void>;
  /** Writes the run's state and stage times; a repeated call changes nothing. Never leaves an ended state. Key: run + state + stage. */
  recordRun(input: RunKey & RunRecord): Promise<void>;
  /** Raises the run's fencing token, and notes what the attempts before have used. Key: run + attempt. */
  raiseAttempt(input: RunKey & { readonly attempt: number; readonly gpuSeconds?: number }): Promise<void>;
  /** Points the alias `production` at the version, records promotion and audit. Key: requestKey. Fails with Fenced if the run's attempt is not the highest. */
  promoteModel(
    input: CustomizationKey & {
      readonly requestKey: string;
      readonly version: number;
      readonly actor: string;
      readonly reason: string | null;
      /** A person forces a version whose verdict was not `promote`. */
      readonly force: boolean;
      readonly fence: { readonly run: number; readonly attempt: number } | null;
    },
  ): Promise<AliasesAfter>;
  /**
   * Writes a person's answer to every change of structure that is held (or to one), with audit; `remap` changes the source mapping.
   * Key: requestKey. Fails with BadOptions where nothing is held or the answer leaves a mapped column missing.
   */
  decideSchema(
    input: CustomizationKey & {
      readonly requestKey: string;
      /** Null: every change that is held. */
      readonly changeId: string | null;
      readonly action: SchemaAction;
      readonly columns: { readonly [field: string]: string } | null;
      readonly table: string | null;
      readonly actor: string;
      readonly reason: string | null;
    },
  ): Promise<SchemaDecided>;
  /** Swaps production and previous. Key: requestKey. */
  rollbackModel(
    input: CustomizationKey & { readonly requestKey: string; readonly actor: string; readonly reason: string | null },
  ): Promise<AliasesAfter>;
};

export type RunRecord = {
  readonly state: RunState;
  /** Stage that starts with this state, or ends when `stageEnded`. */
  readonly stage?: StageName;
  readonly stageEnded?: boolean;
  readonly reason?: string | null;
  readonly failureClass?: FailureClass | null;
  readonly datasetNumber?: number;
  readonly version?: number;
  readonly metrics?: TrainingMetrics;
  readonly verdict?: GateVerdict;
  readonly trainingMs?: number;
  /** Of the attempts so far, all together. */
  readonly gpuSeconds?: number;
  /** Null: it goes on. */
  readonly paused?: RunPause | null;
};

/** Task queue `dataset`. */
export type DatasetActivities = {
  /**
   * Compares the table with the last dataset, reading only dirty buckets (null: all). Read-only.
   * `ready: false` names what is missing, label by label.
   */
  planDataset(input: CustomizationKey & { readonly dirtyBuckets: DirtyBuckets | null }): Promise<DatasetPlan>;
  /** Builds and registers the run's dataset. Key: run; a second call returns the first one's dataset. */
  buildDataset(input: RunKey & { readonly dirtyBuckets: DirtyBuckets | null }): Promise<DatasetRef>;
  /** Candidate against production on the same evaluation rows. Key: run + attempt; a pure function of stored objects, and of what an own encoder costs. */
  evaluateGate(
    input: RunKey & { readonly attempt: number; readonly dataset: DatasetRef; readonly training: TrainingRef },
  ): Promise<GateVerdict>;
};

/** Task queue `dataset`: table against dataset, besides the work of runs. */
export type VerificationActivities = {
  /** Compares, records, and heals what nothing explains. Key: none; a repeated call compares again. */
  verifyCustomization(input: CustomizationKey): Promise<VerificationResult>;
  /** Customizations of all tenants after the given one. Read-only. */
  listCustomizations(input: { readonly after: CustomizationKey | null; readonly limit: number }): Promise<readonly CustomizationKey[]>;
};

export type DatasetPlan = {
  readonly netChange: boolean;
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly rows: number;
  readonly changedRows: number;
  readonly cut: string;
};

/** A finished training: where its files are, never the files. */
export type TrainingRef = {
  readonly jobName: string;
  readonly trainerDigest: string;
  readonly optionsDigest: string;
  /** Staged objects by file name: model.safetensors, eval.jsonl, answering.json, encoder.onnx (own encoder only), result.json. */
  readonly files: Readonly<Record<string, ObjectRef>>;
  readonly metrics: TrainingMetrics;
  readonly labels: number;
  readonly encoder: 'base' | 'own';
  readonly trainingMs: number;
  /** Of this attempt; absent where no GPU was used. */
  readonly gpuSeconds?: number;
};

/** What every failure of `train` carries as its first detail. */
export type TrainingFailureDetail = {
  /** Of a job out of memory: whether the installation has a larger resource tier for it. */
  readonly largerTier?: boolean;
  readonly gpuSeconds?: number;
};

/** Task queue `training`. */
export type TrainingActivities = {
  /**
   * At most one effective training a (dataset, options, trainer): returns the run that already has it, or null after claiming it for this run.
   * Key: run.
   */
  claimTraining(
    input: RunKey & { readonly dataset: DatasetRef; readonly force: boolean },
  ): Promise<{ readonly duplicateOf: number | null }>;
  /** Creates or adopts the job of (run, attempt) and follows it to its end, heartbeating progress. Key: job name. */
  train(
    input: RunKey & { readonly attempt: number; readonly dataset: DatasetRef; readonly overrides: TrainingOverrides },
  ): Promise<TrainingRef>;
  /** Stops the run's jobs, each with a checkpoint, and tells the GPU seconds of the attempt's. Nothing is removed. Key: run. */
  stopTraining(input: RunKey & { readonly attempt: number }): Promise<{ readonly gpuSeconds?: number }>;
  /** Removes jobs whose run has ended, or that nobody knows. Key: none; a repeated call finds what is left. */
  sweepJobs(input: Readonly<Record<string, never>>): Promise<SweptJobs>;
  /** Removes what trainings of the customization kept beside the store: embeddings of its rows, and work folders of runs that have ended. Key: customization. */
  forgetTraining(input: CustomizationKey): Promise<void>;
  /** Stops the run's jobs and removes their work folders and staged objects. Key: run. */
  discardTraining(input: RunKey & { readonly keepClaim: boolean }): Promise<void>;
};

export type SweptJobs = { readonly removed: number; readonly kept: number };

/** What a retry changes: a diverged training halves the learning rate, one out of memory halves the batch, and then takes a larger resource tier. */
export type TrainingOverrides = {
  readonly batchDivisor: number;
  readonly learningRateDivisor: number;
  /** How many resource tiers above its own the job gets; absent: none. */
  readonly tierRaises?: number;
};

/** Task queue `sharding`. */
export type ShardingActivities = {
  /** Writes shards and files, then the manifest, create-only. Key: run + attempt. */
  shardModel(
    input: RunKey & {
      readonly attempt: number;
      readonly dataset: DatasetRef;
      readonly training: TrainingRef;
      readonly verdict: GateVerdict;
    },
  ): Promise<ShardedModel>;
  /** Registers the version: the commit point. Key: run. Fails with Fenced for an attempt that is not the highest. */
  publishModel(
    input: RunKey & {
      readonly attempt: number;
      readonly dataset: DatasetRef;
      readonly sharded: ShardedModel;
      readonly metrics: TrainingMetrics;
      readonly verdict: GateVerdict;
    },
  ): Promise<{ readonly version: number }>;
  /** Loads the version in the predictor before it is promoted; never fails the run (returns false if the predictor is away). */
  warmModel(input: CustomizationKey & { readonly version: number }): Promise<{ readonly warm: boolean }>;
};

export type ShardedModel = {
  readonly version: number;
  readonly manifest: ObjectRef;
  readonly bytes: number;
  readonly storedBytes: number;
  readonly parent: number | null;
};

/** Task queue `sharding`: the care for what is stored, by schedule and on demand. */
export type StoreCareActivities = {
  /** Puts the round on record. A scrub that does not read everything is told its share. Key: roundId. */
  beginStoreRound(input: {
    readonly roundId: string;
    readonly kind: 'gc' | 'gc-dry-run' | 'scrub';
    readonly everything: boolean;
  }): Promise<{ readonly share: ScrubShare | null }>;
  /** Key: roundId. */
  endStoreRound(input: { readonly roundId: string; readonly report: GcReport | ScrubReport }): Promise<void>;
  /** Tenants after the given one that have or had anything. Read-only. */
  listStoreTenants(input: { readonly after: string; readonly limit: number }): Promise<readonly string[]>;
  /** Removes what nothing of the tenant refers to, or only counts it. Key: roundId + tenant; a repeated call finds what is left. */
  sweepTenant(input: { readonly tenantId: string; readonly roundId: string; readonly dryRun: boolean }): Promise<SweepReport>;
  /** The same for what all tenants share; after all tenants. Key: roundId. */
  sweepBase(input: { readonly roundId: string; readonly dryRun: boolean }): Promise<SweepReport>;
  /** Reads a share of what all tenants share, and mends what it can. Before the tenants. Key: none; a repeated call reads again. */
  scrubBase(input: { readonly share: ScrubShare | null }): Promise<ScrubPart>;
  /** Reads a share of what the tenant has, mends what it can, and marks its versions and datasets. Key: none; a repeated call reads again. */
  scrubTenant(input: { readonly tenantId: string; readonly share: ScrubShare | null }): Promise<ScrubPart>;
};

/** Task queue `sharding`: rows are forgotten. Each is asked again until all of it is done. */
export type ForgettingActivities = {
  /** Looks what still holds the rows, and says what comes next. Key: none. */
  lookForgetting(input: ForgettingKey): Promise<ForgettingStep | { readonly next: 'done' }>;
  /** Takes what holds the rows from the registry. `compare`: what served, or the latest dataset, was among it. Key: forgetting. */
  withdrawForgotten(input: ForgettingKey): Promise<{ readonly compare: boolean }>;
  /** Removes from the store what nothing refers to, without a grace. `runs`: the last run at that moment. Key: forgetting; a repeated call finds what is left. */
  removeForgotten(input: ForgettingKey): Promise<{ readonly waitsFor: readonly string[]; readonly runs: number }>;
  /** Searches the store for the texts, and issues the certificate where it finds none and no run began since. Key: forgetting. */
  certifyForgetting(input: ForgettingKey & { readonly runs: number }): Promise<{ readonly waitsFor: readonly string[] }>;
  /** Says in the request's state why its workflow fails: it is begun again later. Key: forgetting. */
  noteForgettingFailed(input: ForgettingKey & { readonly reason: string }): Promise<void>;
  /** Those of all tenants that are not done, after the given one. Read-only. */
  listForgettings(input: { readonly after: ForgettingKey | null; readonly limit: number }): Promise<readonly ForgettingKey[]>;
};
