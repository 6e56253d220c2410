import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultShardBytes } from '../../activities/sharding/store-tensors.ts';
import { type StoreCareDependencies, createStoreCareActivities } from '../../activities/store-care/store-care-activities.ts';
import { type GcReport, addSweep, emptyGc } from '../../core/store-care.ts';
import { createPool } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { startTestStack } from './engines.ts';

/** A registry and a store of their own, no base model installed, and what cares for them: everything that nothing refers to is old enough to go. */
export async function startStoreCare(keepVersions: number, env: Readonly<Record<string, string>> = {}) {
  const stack = await startTestStack({ engines: ['mysql', 's3'], env });
  const pool = createPool(stack.config);
  const store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  const modelsDir = await mkdtemp(join(tmpdir(), 'mw-care-models-'));
  const dependencies: StoreCareDependencies = {
    pool,
    store,
    modelsDir,
    shardBytes: defaultShardBytes,
    retention: { keepVersions, graceMs: 0, lockMs: 0 },
    scrubRounds: 7,
    beat: () => undefined,
  };
  const stop = async (): Promise<void> => {
    await pool.end();
    await stack.remove();
    await rm(modelsDir, { recursive: true, force: true });
  };
  return { stack, pool, store, modelsDir, dependencies, stop };
}

/** A round over every tenant and what all share, as the workflow makes it. */
export async function collectGarbage(dependencies: StoreCareDependencies, roundId: string, dryRun = false): Promise<GcReport> {
  const care = createStoreCareActivities(dependencies);
  await care.beginStoreRound({ roundId, kind: dryRun ? 'gc-dry-run' : 'gc', everything: true });
  let report = emptyGc(dryRun);
  for (const tenantId of await care.listStoreTenants({ after: '', limit: 1_000 }))
    report = addSweep(report, await care.sweepTenant({ tenantId, roundId, dryRun }));
  report = addSweep(report, await care.sweepBase({ roundId, dryRun }));
  await care.endStoreRound({ roundId, report });
  return report;
}
