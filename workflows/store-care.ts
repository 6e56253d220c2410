import { ActivityFailure, ApplicationFailure, continueAsNew, isCancellation, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { StoreCareActivities } from '../activities/ports.ts';
import { type GcReport, type ScrubReport, addScrub, addSweep, emptyGc, emptyScrub, maxNamed } from '../core/store-care.ts';
import { storeCareOptions, storeRoundOptions } from './activity-options.ts';

const pageSize = 50;
/** Three events of history a tenant: far below what an execution may have. */
const pagesPerExecution = 20;

/** How far a round is when it goes on in another execution. */
type Progress<R> = { readonly roundId: string; readonly after: string; readonly report: R };
export type StoreGcInput = { readonly dryRun: boolean; readonly progress?: Progress<GcReport> };
export type StoreScrubInput = {
  /** False: the next share, as the schedule asks. */
  readonly everything: boolean;
  readonly progress?: Progress<ScrubReport>;
};

const newRound = (): string => `${workflowInfo().workflowId.slice(-90)}/${workflowInfo().firstExecutionRunId}`;
const rounds = () => proxyActivities<StoreCareActivities>(storeRoundOptions());
const care = (tenantId: string, summary: string) =>
  proxyActivities<StoreCareActivities>({ ...storeCareOptions(tenantId), summary: summary.slice(0, 200) });

/** Removes what nothing refers to, tenant by tenant, and then what all share; a dry run only counts. One tenant's trouble does not stop the others. */
export async function storeGc({ dryRun, progress }: StoreGcInput): Promise<GcReport> {
  const roundId = progress?.roundId ?? newRound();
  let report = progress?.report ?? emptyGc(dryRun);
  if (!progress) await rounds().beginStoreRound({ roundId, kind: dryRun ? 'gc-dry-run' : 'gc', everything: true });
  const after = await everyTenant(progress?.after ?? '', async (tenantId) => {
    const swept = await orReason(() => care(tenantId, `garbage of ${tenantId}`).sweepTenant({ tenantId, roundId, dryRun }));
    report = 'reason' in swept ? failed(report, `${tenantId}: ${swept.reason}`) : addSweep(report, swept.result);
  });
  if (after !== null) return await continueAsNew<typeof storeGc>({ dryRun, progress: { roundId, after, report } });
  const base = await orReason(() => care('', 'garbage of what all share').sweepBase({ roundId, dryRun }));
  report = 'reason' in base ? failed(report, `base: ${base.reason}`) : addSweep(report, base.result);
  await rounds().endStoreRound({ roundId, report });
  return report;
}

/** Reads stored objects, compares their digests, mends what it can and marks what it cannot. What all share comes first. */
export async function storeScrub({ everything, progress }: StoreScrubInput): Promise<ScrubReport> {
  const roundId = progress?.roundId ?? newRound();
  let report = progress?.report ?? emptyScrub((await rounds().beginStoreRound({ roundId, kind: 'scrub', everything })).share);
  const { share } = report;
  if (!progress) {
    const base = await orReason(() => care('', 'read what all share').scrubBase({ share }));
    report = 'reason' in base ? failed(report, `base: ${base.reason}`) : addScrub(report, base.result);
  }
  const after = await everyTenant(progress?.after ?? '', async (tenantId) => {
    const part = await orReason(() => care(tenantId, `read what ${tenantId} has`).scrubTenant({ tenantId, share }));
    report = 'reason' in part ? failed(report, `${tenantId}: ${part.reason}`) : addScrub(report, part.result);
  });
  if (after !== null) return await continueAsNew<typeof storeScrub>({ everything, progress: { roundId, after, report } });
  await rounds().endStoreRound({ roundId, report });
  return report;
}

const failed = <R extends { readonly failed: readonly string[] }>(report: R, reason: string): R => ({
  ...report,
  failed: [...report.failed, reason].slice(0, maxNamed),
});

/** Walks through the tenants after the given one; null at the end, the last one where another execution is to go on. */
async function everyTenant(start: string, visit: (tenantId: string) => Promise<void>): Promise<string | null> {
  let after = start;
  for (let page = 0; page < pagesPerExecution; page++) {
    const tenants = await rounds().listStoreTenants({ after, limit: pageSize });
    for (const tenantId of tenants) await visit(tenantId);
    const last = tenants.at(-1);
    if (last === undefined || tenants.length < pageSize) return null;
    after = last;
  }
  return after;
}

async function orReason<T>(work: () => Promise<T>): Promise<{ readonly result: T } | { readonly reason: string }> {
  try {
    return { result: await work() };
  } catch (error) {
    if (isCancellation(error)) throw error;
    const cause = error instanceof ActivityFailure ? error.cause : null;
    return { reason: cause instanceof ApplicationFailure ? cause.message : 'it did not end in time' };
  }
}
