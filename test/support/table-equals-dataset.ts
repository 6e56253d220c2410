import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { createS3Client } from '../../platform/s3.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import type { TestStack } from './engines.ts';
import { eventually } from './live-tenant.ts';

const decompress = promisify(zstdDecompress);

/** What the dataset lacks of the table, what it has too much, and rows that are not what the table has: example ids. */
export type Difference = { readonly missing: readonly string[]; readonly extra: readonly string[]; readonly different: readonly string[] };

type Row = Readonly<Record<string, unknown>>;
type ExampleRow = RowDataPacket & { example_id: string; content: Row };
type ManifestRow = RowDataPacket & { manifest_key: string };
export type Whose = { readonly tenantId: string; readonly c: string };

/** Fields that a text-classification row has in both; the split is the dataset's own. */
const comparable = ({ text, label, weight }: Row): string => JSON.stringify([text, label, weight ?? null]);

/**
 * Compares the table as a SELECT sees it with the newest dataset as it lies in the store: by other code than the product's own, so that a
 * fault that is common to writing and verifying is seen. Rows of text-classification in `modelwright.examples`, all of them usable.
 */
export async function tableAgainstDataset(stack: TestStack, pool: Pool, { tenantId, c }: Whose): Promise<Difference> {
  const s3 = createS3Client(stack.config);
  try {
    const key = await newestManifest(pool, { tenantId, c });
    const dataset = key === undefined ? new Map<string, string>() : await rowsOfDataset(s3, stack.config.s3.bucket, key);
    const [rows] = await pool.query<ExampleRow[]>(
      'SELECT example_id, content FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ?',
      [tenantId, c],
    );
    const table = new Map(rows.map((row) => [row.example_id, comparable(row.content)] as const));
    const ids = (from: Map<string, string>, wanted: (id: string, row: string) => boolean): string[] =>
      [...from].filter(([id, row]) => wanted(id, row)).map(([id]) => id);
    return {
      missing: ids(table, (id) => !dataset.has(id)),
      extra: ids(dataset, (id) => !table.has(id)),
      different: ids(table, (id, row) => dataset.has(id) && dataset.get(id) !== row),
    };
  } finally {
    s3.destroy();
  }
}

/** Waits until the newest dataset is the table; says what still differs when it does not become so. */
export async function datasetToEqualTable(stack: TestStack, pool: Pool, whose: Whose, timeoutMs = 120_000): Promise<void> {
  await eventually(
    `the newest dataset of ${whose.tenantId} to equal the table`,
    async () => {
      const { missing, extra, different } = await tableAgainstDataset(stack, pool, whose);
      if (missing.length + extra.length + different.length === 0) return true;
      throw new Error(`missing ${named(missing)}, extra ${named(extra)}, different ${named(different)}`);
    },
    timeoutMs,
  );
}

const named = (ids: readonly string[]): string => (ids.length === 0 ? 'none' : `${ids.length} (${ids.slice(0, 5).join(' ')})`);

type Manifest = {
  readonly buckets: readonly { readonly ref: { readonly key: string } }[];
  readonly exclusions: readonly { readonly reason: string; readonly exampleIds: readonly string[] }[];
};

async function rowsOfDataset(s3: S3Client, bucket: string, manifestKey: string): Promise<Map<string, string>> {
  const read = reader(s3, bucket);
  const manifest = JSON.parse((await read(manifestKey)).toString('utf8')) as Manifest;
  const rows = new Map<string, string>();
  for (const { ref } of manifest.buckets) {
    const text = (await decompress(await read(ref.key))).toString('utf8');
    for (const line of text.split('\n').filter((one) => one !== '')) {
      const row = JSON.parse(line) as Row & { id: string };
      // A row that is there twice is a fault whatever it holds (I2).
      if (rows.has(row.id)) throw new Error(`row ${row.id} is in the dataset twice`);
      rows.set(row.id, comparable(row));
    }
  }
  return rows;
}

const reader =
  (s3: S3Client, bucket: string) =>
  async (key: string): Promise<Buffer> => {
    const { Body: body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    return Buffer.from((await body?.transformToByteArray()) ?? []);
  };

/** Why rows were left out of the newest dataset, by example id. */
export async function exclusionsOf(stack: TestStack, pool: Pool, whose: Whose): Promise<Record<string, string>> {
  const s3 = createS3Client(stack.config);
  try {
    const manifest = JSON.parse(
      (await reader(s3, stack.config.s3.bucket)((await newestManifest(pool, whose)) ?? '')).toString('utf8'),
    ) as Manifest;
    return Object.fromEntries(manifest.exclusions.flatMap(({ reason, exampleIds }) => exampleIds.map((id) => [id, reason])));
  } finally {
    s3.destroy();
  }
}

async function newestManifest(pool: Pool, { tenantId, c }: Whose): Promise<string | undefined> {
  const [manifests] = await pool.query<ManifestRow[]>(
    'SELECT manifest_key FROM modelwright_control.datasets WHERE tenant_id = ? AND customization_id = ? ORDER BY number DESC LIMIT 1',
    [tenantId, c],
  );
  return manifests[0]?.manifest_key;
}
