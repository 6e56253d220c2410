/** How a training ends, and what the platform does next (DESIGN.md section 6). */
export const failureClasses = [
  'invalid_data',
  'bad_options',
  'out_of_memory',
  'preempted',
  'hang',
  'diverged',
  'storage',
  'storage_quota',
  'schema_held',
  'budget',
  'error',
] as const;
export type FailureClass = (typeof failureClasses)[number];

/**
 * Types of ApplicationFailure that our activities throw. The value says whether Temporal may retry.
 * Retryability is decided here and nowhere else.
 */
export const failureTypes = {
  /** The customization or tenant no longer exists. */
  CustomizationGone: { retryable: false },
  /** The dataset has too few rows, or a row that the trainer cannot use. */
  InvalidData: { retryable: false },
  /** An option or a resource request that can never work. */
  BadOptions: { retryable: false },
  /** The table's structure is not the one that was approved: a person decides (`approveSchema`). */
  SchemaHeld: { retryable: false },
  /** The tenant has used up its GPU seconds: the run is stopped. */
  BudgetSpent: { retryable: false },
  /** The model would take more bytes in the store than the tenant may have: nothing is published. */
  StorageQuota: { retryable: false },
  OutOfMemory: { retryable: true },
  Diverged: { retryable: false },
  /** The trainer stopped with an unknown error. */
  TrainingFailed: { retryable: false },
  /** The job was stopped from outside and left a checkpoint. */
  Preempted: { retryable: true },
  Hang: { retryable: true },
  /** Store, database, or network: back off and try again. */
  Unavailable: { retryable: true },
  /** A later attempt of the run exists: this one must not publish. */
  Fenced: { retryable: false },
  /** Stored bytes do not have the digest that they should have. */
  Corrupt: { retryable: false },
} as const;
export type FailureType = keyof typeof failureTypes;

export const nonRetryableFailureTypes: string[] = Object.entries(failureTypes)
  .filter(([, { retryable }]) => !retryable)
  .map(([type]) => type);
