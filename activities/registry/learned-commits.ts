import { type DirtyBuckets, noBuckets } from '../../core/dirty-buckets.ts';
import { gtidSetContains } from '../../core/gtid.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import { firstHolding } from '../../core/learned.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { inTransaction } from './database.ts';

/** What is looked at of datasets and decisions, and commits that are read at a time. */
const lookedAt = 200;
const pageRows = 2_000;

type UnservedRow = RowDataPacket & {
  gtid: string;
  committed_at: Date;
  sensed_at: Date;
  buckets: DirtyBuckets | null;
  dataset_at: Date | null;
  changed: number | string;
};
type DatasetRow = RowDataPacket & { number: number; cut: string; read_buckets: DirtyBuckets | null; built_at: Date };
type DecisionRow = RowDataPacket & { cut: string; decided_at: Date };
type PromotionRow = RowDataPacket & { dataset_number: number; promoted_at: Date };

/** Time from commit to dataset, or to serving, of commits that were met there for the first time. */
export type Observed = { readonly toDatasetMs: readonly number[]; readonly toServingMs: readonly number[] };

/**
 * Notes since when datasets and versions in production contain the commits of a customization. Key: commit; each is noted, and returned, once,
 * whoever asks and how often. Commits that changed settings only, or nothing in the end, count as served and are not observed.
 */
export async function noteLearnedCommits(pool: Pool, { tenantId, customizationId }: CustomizationKey): Promise<Observed> {
  const key = [tenantId, customizationId];
  const where = 'tenant_id = ? AND customization_id = ?';
  const [[datasets], [decisions], [promotions]] = await Promise.all([
    pool.query<DatasetRow[]>(
      `SELECT number, cut, read_buckets, built_at FROM modelwright_control.datasets WHERE ${where} ORDER BY number DESC LIMIT ${lookedAt}`,
      key,
    ),
    pool.query<DecisionRow[]>(
      `SELECT cut, decided_at FROM modelwright_control.decisions WHERE ${where} AND kind = 'no_net_change' ORDER BY decided_at DESC LIMIT ${lookedAt}`,
      key,
    ),
    pool.query<PromotionRow[]>(
      `SELECT v.dataset_number, p.promoted_at FROM modelwright_control.promotions p
       JOIN modelwright_control.model_versions v USING (tenant_id, customization_id, version)
       WHERE p.tenant_id = ? AND p.customization_id = ? ORDER BY p.promoted_at`,
      key,
    ),
  ]);
  const built = datasets.toReversed().map((dataset) => ({ ...dataset, readBuckets: dataset.read_buckets }));
  const toDatasetMs: number[] = [];
  const toServingMs: number[] = [];
  for (let after = ''; ;) {
    const page = await inTransaction(pool, async (connection) => {
      const [rows] = await connection.query<UnservedRow[]>(
        `SELECT gtid, committed_at, sensed_at, buckets, dataset_at, inserted + updated + deleted > 0 AS changed
         FROM modelwright_control.sensed_commits WHERE serving_at IS NULL AND ${where} AND gtid > ? ORDER BY gtid LIMIT ${pageRows}
         FOR UPDATE SKIP LOCKED`,
        [...key, after],
      );
      const inDataset = new Map<number, string[]>();
      const serving = new Map<number, string[]>();
      const seen = { toDatasetMs: [] as number[], toServingMs: [] as number[] };
      for (const row of rows) {
        if (Number(row.changed) === 0) {
          put(serving, row.sensed_at, row.gtid);
          continue;
        }
        const holding = firstHolding(built, row.gtid, row.buckets ?? noBuckets);
        const equal = holding
          ? undefined
          : decisions.findLast((one) => gtidSetContains(one.cut, row.gtid) && one.decided_at >= row.sensed_at);
        if (equal) put(serving, equal.decided_at, row.gtid);
        if (!holding) continue;
        const since = (at: Date): number => Math.max(0, at.getTime() - row.committed_at.getTime());
        if (row.dataset_at === null) {
          put(inDataset, holding.built_at, row.gtid);
          seen.toDatasetMs.push(since(holding.built_at));
        }
        const promotion = promotions.find((one) => one.dataset_number >= holding.number);
        if (!promotion) continue;
        put(serving, promotion.promoted_at, row.gtid);
        seen.toServingMs.push(since(promotion.promoted_at));
      }
      await mark(connection, key, 'dataset_at = COALESCE(dataset_at, ?)', 1, inDataset);
      await mark(connection, key, 'dataset_at = COALESCE(dataset_at, ?), serving_at = ?', 2, serving);
      return { rows, ...seen };
    });
    // Only after the commit: what was rolled back is met again.
    toDatasetMs.push(...page.toDatasetMs);
    toServingMs.push(...page.toServingMs);
    const last = page.rows.at(-1);
    if (!last || page.rows.length < pageRows) return { toDatasetMs, toServingMs };
    after = last.gtid;
  }
}

function put(groups: Map<number, string[]>, at: Date, gtid: string): void {
  const group = groups.get(at.getTime());
  if (group) group.push(gtid);
  else groups.set(at.getTime(), [gtid]);
}

async function mark(
  connection: PoolConnection,
  key: readonly string[],
  assignment: string,
  times: number,
  groups: ReadonlyMap<number, readonly string[]>,
): Promise<void> {
  for (const [atMs, gtids] of groups) {
    const at = Array.from({ length: times }, () => new Date(atMs));
    await connection.query(
      `UPDATE modelwright_control.sensed_commits SET ${assignment} WHERE tenant_id = ? AND customization_id = ? AND gtid IN (?)`,
      [...at, ...key, gtids],
    );
  }
}
