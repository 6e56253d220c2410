import { ActivityFailure, ApplicationFailure, continueAsNew, isCancellation, proxyActivities } from '@temporalio/workflow';
import type { VerificationActivities } from '../activities/ports.ts';
import type { CustomizationKey } from '../core/ids.ts';
import type { VerificationResult, VerificationTotals } from '../core/verification.ts';
import { verifyOptions } from './activity-options.ts';
import { showTo } from './visibility.ts';

/** Compares one customization's table with its last dataset, because a person asks. */
export async function verification({ tenantId, customizationId }: CustomizationKey): Promise<VerificationResult> {
  showTo({ tenantId, customizationId });
  const { verifyCustomization } = proxyActivities<VerificationActivities>({
    ...verifyOptions(tenantId),
    summary: `compare ${customizationId} with its dataset`,
  });
  try {
    return await verifyCustomization({ tenantId, customizationId });
  } catch (error) {
    // The caller is told the activity's own words.
    const cause = error instanceof ActivityFailure ? error.cause : null;
    if (cause instanceof ApplicationFailure) throw ApplicationFailure.nonRetryable(cause.message, cause.type);
    throw error;
  }
}

export type VerifyAllInput = { readonly after: CustomizationKey | null; readonly totals: VerificationTotals };

const pageSize = 20;
/** At once: each holds a snapshot of MySQL open and reads a table. */
const lanes = 2;
/** Three events of history a comparison: far below what an execution may have. */
const pagesPerExecution = 50;

/** Walks through all customizations of all tenants, on a schedule. One that cannot be compared does not stop the others. */
export async function verifyAll(input: VerifyAllInput): Promise<VerificationTotals> {
  let { after, totals } = input;
  for (let page = 0; page < pagesPerExecution; page++) {
    const { listCustomizations } = proxyActivities<VerificationActivities>(verifyOptions(''));
    const keys = await listCustomizations({ after, limit: pageSize });
    const queue = [...keys];
    const lane = async (): Promise<void> => {
      for (let key = queue.shift(); key; key = queue.shift()) {
        const verdict = await compared(key);
        // Not in one expression: the other lane adds while this one waits.
        totals = added(totals, verdict);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    if (keys.length < pageSize) return totals;
    after = keys.at(-1) ?? null;
  }
  return await continueAsNew<typeof verifyAll>({ after, totals });
}

async function compared(key: CustomizationKey): Promise<VerificationResult['verdict'] | 'failed'> {
  const { verifyCustomization } = proxyActivities<VerificationActivities>({
    ...verifyOptions(key.tenantId),
    summary: `${key.tenantId}/${key.customizationId}`,
  });
  try {
    return (await verifyCustomization(key)).verdict;
  } catch (error) {
    if (isCancellation(error)) throw error;
    return 'failed';
  }
}

function added(totals: VerificationTotals, verdict: VerificationResult['verdict'] | 'failed'): VerificationTotals {
  return {
    verified: totals.verified + 1,
    ok: totals.ok + (verdict === 'equal' || verdict === 'on_its_way' ? 1 : 0),
    violated: totals.violated + (verdict === 'violated' ? 1 : 0),
    stalled: totals.stalled + (verdict === 'stalled' ? 1 : 0),
    failed: totals.failed + (verdict === 'failed' ? 1 : 0),
  };
}
