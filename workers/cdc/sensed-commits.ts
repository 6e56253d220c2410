import { markerCustomizationId } from '../../core/ids.ts';
import type { Pool } from '../../platform/mysql.ts';
import type { SensedCommit } from './digest-builder.ts';

/** Rows of one INSERT: far below the packet limit, and one round trip for nearly every digest. */
const rowsPerInsert = 500;

/**
 * Writes what was seen of each transaction. Key: GTID, tenant, customization; a redelivery that saw less of a transaction does not
 * make its counts smaller.
 */
export async function recordSensedCommits(pool: Pool, seen: readonly SensedCommit[], sensedAtMs: number): Promise<void> {
  const sensedAt = new Date(sensedAtMs);
  const commits = seen.filter(({ customizationId }) => customizationId !== markerCustomizationId);
  for (let from = 0; from < commits.length; from += rowsPerInsert) {
    const rows = commits.slice(from, from + rowsPerInsert).map((c) => {
      const buckets = Buffer.from(c.buckets).toString('hex');
      const { gtid, tenantId, customizationId, inserted, updated, deleted, configured, commitMs } = c;
      return [gtid, tenantId, customizationId, inserted, updated, deleted, configured, new Date(commitMs), sensedAt, buckets];
    });
    await pool.query(
      `INSERT INTO modelwright_control.sensed_commits
         (gtid, tenant_id, customization_id, inserted, updated, deleted, configured, committed_at, sensed_at, buckets)
       VALUES ? AS seen
       ON DUPLICATE KEY UPDATE
         inserted = GREATEST(sensed_commits.inserted, seen.inserted),
         updated = GREATEST(sensed_commits.updated, seen.updated),
         deleted = GREATEST(sensed_commits.deleted, seen.deleted),
         configured = sensed_commits.configured OR seen.configured,
         buckets = LOWER(HEX(UNHEX(sensed_commits.buckets) | UNHEX(seen.buckets)))`,
      [rows],
    );
  }
}
