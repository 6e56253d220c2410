import type { CustomizationKey } from '../../core/ids.ts';
import { type PoolConnection, type RowDataPacket, streamRows } from '../../platform/mysql.ts';
import { fineRange } from './bucket-count.ts';
import type { RowShaper } from './dataset-row.ts';
import { leafDigest, merkleRoot } from './merkle.ts';
import type { LabelCounts } from './label-counts.ts';

type ExampleRow = RowDataPacket & { example_id: string; bucket: number; content: unknown };

export type ScannedRow = { readonly id: string; readonly line: string; readonly digest: Buffer };
export type ScannedBucket = {
  readonly index: number;
  /** In the order of the file: by finest bucket, then by id. */
  readonly rows: readonly ScannedRow[];
  readonly digest: string;
  readonly labels: LabelCounts;
  readonly texts: readonly { readonly id: string; readonly key: string; readonly label: string | null }[];
  readonly excluded: readonly { readonly id: string; readonly reason: string }[];
};

/** Rows between two signs of life. */
const beatEveryRows = 5_000;

/** One bucket of the table, read under the snapshot of the connection. */
export async function scanBucket(
  connection: PoolConnection,
  key: CustomizationKey,
  bucket: { readonly index: number; readonly bucketCount: number },
  shape: RowShaper,
  beat: () => void,
): Promise<ScannedBucket> {
  const { first, last } = fineRange(bucket.index, bucket.bucketCount);
  const leaves: Buffer[][] = Array.from({ length: last - first + 1 }, () => []);
  const rows: ScannedRow[] = [];
  const labels: Record<string, { train: number; evaluation: number }> = {};
  const texts: { id: string; key: string; label: string | null }[] = [];
  const excluded: { id: string; reason: string }[] = [];
  const found = streamRows<ExampleRow>(
    connection,
    `SELECT example_id, bucket, content FROM modelwright.examples
     WHERE tenant_id = ? AND customization_id = ? AND bucket BETWEEN ? AND ? ORDER BY bucket, example_id`,
    [key.tenantId, key.customizationId, first, last],
  );
  let seen = 0;
  for await (const { example_id: id, bucket: fine, content } of found) {
    if (++seen % beatEveryRows === 0) beat();
    const shaped = shape(id, content);
    if (!shaped.used) {
      excluded.push({ id, reason: shaped.reason });
      continue;
    }
    const line = JSON.stringify(shaped.row);
    const digest = leafDigest(line);
    leaves[fine - first]?.push(digest);
    rows.push({ id, line, digest });
    texts.push({ id, key: shaped.textKey, label: shaped.label });
    const counts = (labels[shaped.label ?? ''] ??= { train: 0, evaluation: 0 });
    counts[shaped.row.split] += 1;
  }
  return { index: bucket.index, rows, digest: merkleRoot(leaves.map(merkleRoot)).toString('hex'), labels, texts, excluded };
}
