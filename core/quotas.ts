/** What an operator allows a tenant, all its customizations together. Absent: no limit. */
export type TenantQuotas = {
  /** Runs at the same time. A paused run is none of them. */
  readonly concurrentTrainings?: number;
  /** GPU seconds in 24 hours; those of a run count from its start until 24 hours after its end. */
  readonly gpuSecondsPerDay?: number;
  /** Bytes of its datasets and models in the store; what all tenants share, and what goes with a run, does not count. */
  readonly storageBytes?: number;
};

export const quotaNames = ['concurrentTrainings', 'gpuSecondsPerDay', 'storageBytes'] as const satisfies readonly (keyof TenantQuotas)[];

/** GPU seconds that a run of the tenant has used, and when it ended. */
export type GpuUse = { readonly customizationId: string; readonly run: number; readonly atMs: number; readonly gpuSeconds: number };

/** As long as GPU seconds count after the end of their run. */
export const gpuWindowMs = 86_400_000;
