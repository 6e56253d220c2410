import { parseGtid } from '../../core/gtid.ts';
import { markerCustomizationId } from '../../core/ids.ts';
import type { TenantPending } from '../../core/tenant-messages.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import { type Pool, commitGtid } from '../../platform/mysql.ts';
import { inTransaction } from '../registry/database.ts';
import type { TenantWorkflows } from './tenant-workflows.ts';

/** Invariant I8 gives a stall 30 seconds to show; the comparison itself needs some of them. */
const senseDeadlineMs = 20_000;
const pollMs = 100;
/** Changes of examples and markers lie in one partition of this topic, in commit order. */
const examplesTopic = /\.modelwright\.examples\//;

/** Commits a row of the tenant and its removal in one transaction: nobody ever sees it but the log. Returns its GTID. */
const commitMarker = (pool: Pool, tenantId: string): Promise<string | null> =>
  inTransaction(pool, async (connection) => {
    const row = [tenantId, markerCustomizationId, 'log-marker'];
    await connection.query(
      "INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES (?, ?, ?, '{}')",
      row,
    );
    await connection.query('DELETE FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? AND example_id = ?', row);
    const [header] = await connection.query('COMMIT');
    return commitGtid(header);
  });

function hasPassed({ watermarks }: TenantPending, marker: string): boolean {
  const wanted = parseGtid(marker);
  return Object.entries(watermarks).some(
    ([partition, marks]) =>
      examplesTopic.test(partition) && wanted !== null && (parseGtid(marks[wanted.source]?.gtid ?? '')?.sequence ?? 0) >= wanted.sequence,
  );
}

/**
 * What the tenant's workflow knows after it has counted everything that was committed before this call; null if it has not within the
 * deadline. A tenant without a workflow gets one by the marker itself.
 */
export async function knownAfterMarker(
  { pool, tenants, beat }: { readonly pool: Pool; readonly tenants: TenantWorkflows; readonly beat: () => void },
  tenantId: string,
  deadlineMs = senseDeadlineMs,
): Promise<{ readonly pending: TenantPending | null; readonly marker: string; readonly waitedMs: number }> {
  const startedMs = nowMs();
  const marker = await commitMarker(pool, tenantId);
  for (;;) {
    beat();
    const pending = await tenants.pending(tenantId);
    const waitedMs = nowMs() - startedMs;
    if (pending && marker !== null && hasPassed(pending, marker)) return { pending, marker, waitedMs };
    if (waitedMs > deadlineMs) return { pending: null, marker: marker ?? '', waitedMs };
    await sleep(pollMs);
  }
}
