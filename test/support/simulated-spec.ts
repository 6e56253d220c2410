import type { JobSpec } from '../../activities/training/executor.ts';
import { jobText } from '../../activities/training/job-text.ts';
import type { RunKey } from '../../core/ids.ts';

/** A job of a pod that is only simulated: nothing reads what it is told. */
export const simulatedSpec = (of: RunKey & { readonly attempt: number; readonly tier: string }): JobSpec => ({
  ...of,
  jobName: jobText(of, of.attempt),
  businessModel: { id: 'simulated', version: '1', trainerFile: '' },
  dataset: { digest: '', rows: 0, buckets: [] },
  baseModel: { name: 'none', path: '', digest: '' },
  options: {},
  overrides: { batchDivisor: 1, learningRateDivisor: 1 },
  seed: 7,
  threads: 1,
  outputs: {},
  workDir: '/work/job',
  cacheDir: '/work/cache',
});
