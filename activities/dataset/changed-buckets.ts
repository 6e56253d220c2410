import { type DirtyBuckets, noBuckets, unionBuckets } from '../../core/dirty-buckets.ts';
import { gtidSetContains } from '../../core/gtid.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { knownAfterMarker } from '../verify/log-marker.ts';
import type { TenantWorkflows } from '../verify/tenant-workflows.ts';

/** A build waits this long for the log to be counted as far as its snapshot; after that it reads everything, which is exact as well. */
const senseDeadlineMs = 5_000;
/** Longer than a build may take: a commit that the parent's cut lacks was sensed after the parent's snapshot. */
const longestBuildMs = 12 * 3_600_000;
/** More commits than this touch every bucket anyway. */
const maxCommits = 100_000;

/** Buckets that were changed after the parent's cut, as far as the present snapshot; null: not known, or all of them. */
export type ChangedBuckets = (
  key: CustomizationKey,
  parent: { readonly number: number; readonly cut: string },
) => Promise<DirtyBuckets | null>;

type CommitRow = RowDataPacket & { gtid: string; buckets: DirtyBuckets | null };

/**
 * Buckets of all commits since the parent's cut. What a run was started for is known from its plan; what was committed between the plan and the snapshot
 * of the build is not, and must be read too: otherwise the dataset would not be what its cut says (I1).
 */
export const changedBucketsSince =
  (dependencies: { readonly pool: Pool; readonly tenants: TenantWorkflows; readonly beat: () => void }): ChangedBuckets =>
  async ({ tenantId, customizationId }, parent) => {
    const { pool } = dependencies;
    const { pending } = await knownAfterMarker(dependencies, tenantId, senseDeadlineMs);
    if (!pending) return null;
    const [rows] = await pool.query<CommitRow[]>(
      `SELECT s.gtid, s.buckets FROM modelwright_control.sensed_commits s
       JOIN modelwright_control.datasets d ON d.tenant_id = s.tenant_id AND d.customization_id = s.customization_id AND d.number = ?
       WHERE s.tenant_id = ? AND s.customization_id = ? AND s.sensed_at > d.built_at - INTERVAL ? SECOND
       LIMIT ${maxCommits + 1}`,
      [parent.number, tenantId, customizationId, longestBuildMs / 1_000],
    );
    if (rows.length > maxCommits) return null;
    let changed: DirtyBuckets = noBuckets;
    for (const { gtid, buckets } of rows) {
      if (gtidSetContains(parent.cut, gtid)) continue;
      if (buckets === null) return null;
      changed = unionBuckets(changed, buckets);
    }
    return changed;
  };
