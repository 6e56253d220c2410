import type { CustomizationKey, RunKey } from '../../core/ids.ts';
import type { TrainingProgress } from '../../core/run.ts';
import type { Json } from '../../core/json.ts';

/** Presigned addresses hold as long as S3 lets them: a job may wait and run for days. */
export const addressSeconds = 7 * 86_400;

/** What a training job is told: the contract with the trainer package. */
export type JobSpec = {
  readonly jobName: string;
  readonly tenantId: string;
  readonly customizationId: string;
  readonly run: number;
  readonly attempt: number;
  /** `trainerFile`: absolute path of the folder's trainer.py. */
  readonly businessModel: { readonly id: string; readonly version: string; readonly trainerFile: string };
  readonly dataset: {
    readonly digest: string;
    readonly rows: number;
    readonly buckets: readonly {
      readonly index: number;
      readonly url: string;
      /** Where the store lies on two sites: the same bytes on the other one. So with all addresses. */
      readonly otherUrls?: readonly string[];
      readonly sha256: string;
      readonly bytes: number;
      readonly rows: number;
    }[];
  };
  /** `digest`: what the encoder really is, whatever its name. */
  readonly baseModel: { readonly name: string; readonly path: string; readonly digest: string };
  readonly options: { readonly [name: string]: Json };
  readonly overrides: { readonly batchDivisor: number; readonly learningRateDivisor: number };
  readonly seed: number;
  readonly threads: number;
  /** How many processes train together, 1 where absent: each is told which one it is, and where the first one is, by its environment. */
  readonly workers?: number;
  /** Resource tier that the job gets; absent where there are none. */
  readonly tier?: string;
  /** Presigned addresses by file name: a job can write its own staging objects and nothing else. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly otherOutputs?: Readonly<Record<string, readonly string[]>>;
  readonly workDir: string;
  /** Folder of the customization that outlives its jobs: embeddings that a later training needs again. */
  readonly cacheDir: string;
  /** Absent where the job's folders outlive it, and the base model's folder is there. */
  readonly remote?: RemoteFolders;
};

/** Presigned addresses for a job that has no lasting disk: what other jobs find in folders. */
export type RemoteFolders = {
  /** Files of the base model by their path in its folder: fetched where `baseModel.path` is absent. */
  readonly baseModel: readonly {
    readonly path: string;
    readonly url: string;
    readonly otherUrls?: readonly string[];
    readonly sha256: string;
    readonly bytes: number;
  }[];
  /** The newest checkpoint as one object: where this attempt leaves its own, and where it looks for one, its own first, then those of attempts before. */
  readonly checkpoint: { readonly put: string; readonly get: readonly string[] };
  /** The customization's kept embeddings as one object. */
  readonly cache: { readonly put: string; readonly get: string };
};

/** What is known of a job before it is told where to work. */
export type JobRequest = {
  readonly key: RunKey;
  readonly attempt: number;
  /** By the customization's options, or the business model's own. */
  readonly tier: string;
  readonly tierRaises: number;
  readonly trainerFile: string;
  readonly base: { readonly name: string; readonly folder: string; readonly sha256: Readonly<Record<string, string>> };
};

export type JobProvision = {
  readonly trainerFile: string;
  readonly basePath: string;
  /** Whether there is a tier above the one that it gets. */
  readonly largerTier: boolean;
  /** What of the specification is the host's to say. */
  readonly host: Pick<JobSpec, 'threads' | 'workers' | 'tier' | 'remote'>;
};

export const jobClasses = ['ok', 'invalid_data', 'bad_options', 'out_of_memory', 'diverged', 'storage', 'preempted', 'error'] as const;
export type JobClass = (typeof jobClasses)[number];

/** What the trainer leaves when it ends. */
export type JobResult =
  | {
      readonly class: 'ok';
      readonly rows: { readonly train: number; readonly evaluation: number };
      /** Empty where answers have no labels. */
      readonly labels: readonly string[];
      readonly files: readonly { readonly name: string; readonly sha256: string; readonly bytes: number }[];
      readonly trainMs: number;
      readonly encoder: 'base' | 'own';
      readonly embeddingDim: number;
      readonly maxTokens: number;
    }
  | { readonly class: Exclude<JobClass, 'ok'>; readonly message: string; readonly rows?: readonly string[] };

/** How a job ended: with a result, or without one because it was killed or hung. */
export type JobEnd =
  | { readonly kind: 'result'; readonly result: JobResult }
  | { readonly kind: 'killed'; readonly detail: string }
  | { readonly kind: 'hang'; readonly detail: string };

/** Where trainings run. Two engines, one contract: a local process, or a Kubernetes Job. */
export type TrainingExecutor = {
  /** Where the job's work folder is, as the job itself sees it. */
  workDir(key: RunKey, attempt: number): string;
  /** A folder that all jobs of a customization share. */
  cacheDir(key: CustomizationKey): string;
  /** What a job gets besides the work: of its host, and from afar. Throws BadOptions for a resource tier that there is not. */
  provide(request: JobRequest): Promise<JobProvision>;
  /** Whose folders of that kind there are. */
  caches(): Promise<readonly CustomizationKey[]>;
  removeCache(key: CustomizationKey): Promise<void>;
  /** Starts the job, or adopts the one of that name that runs or has ended, and follows it to its end. Aborting stops following, not the job. */
  follow(spec: JobSpec, onProgress: (progress: TrainingProgress) => void, signal: AbortSignal): Promise<JobEnd>;
  /**
   * Asks every job of the run to stop and write a checkpoint, and ends those that do not. Answers with the GPU seconds of the attempt whose job
   * was still there; nothing where it held no GPU.
   */
  stop(key: RunKey, attempt?: number): Promise<{ readonly gpuSeconds?: number }>;
  /** The runs whose jobs have left anything. */
  jobs(): Promise<readonly RunKey[]>;
  /** Removes what the run's jobs left. */
  discard(key: RunKey): Promise<void>;
};
