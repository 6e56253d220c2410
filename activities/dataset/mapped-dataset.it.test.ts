import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import { allBuckets, noBuckets, withBucket } from '../../core/dirty-buckets.ts';
import type { SourceMapping } from '../../core/source-mapping.ts';
import { bucketOf } from '../../platform/hash.ts';
import { type Pool, type PoolConnection, type RowDataPacket, createPool } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { openMappedTable } from '../../sources/mapped-table.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { letRead, rootPool } from '../../test/support/root-pool.ts';
import { writeShippedEncoders } from '../../test/support/tiny-encoders.ts';
import type { DatasetActivities } from '../ports.ts';
import { readBucket } from './bucket-file.ts';
import { createDatasetActivities } from './dataset-activities.ts';
import { readManifest } from './dataset-registry.ts';

let stack: TestStack;
let pool: Pool;
let root: Pool;
let store: ObjectStore;
let datasets: DatasetActivities;
let customizations = 0;
let runs = 0;
const maxTextChars = 1_000;

type Key = { readonly tenantId: string; readonly customizationId: string };

async function customize(source: SourceMapping | null): Promise<Key> {
  const key = { tenantId: 'acme', customizationId: `m${++customizations}` };
  await pool.query(
    "INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt, source) VALUES (?, ?, 'C', 'text-classification', '{}', '{}', ?, ?)",
    [key.tenantId, key.customizationId, 'a'.repeat(32), source && JSON.stringify(source)],
  );
  return key;
}

const build = (key: Key, dirtyBuckets: string | null = null) => datasets.buildDataset({ ...key, run: ++runs, dirtyBuckets });

async function datasetOf(ref: Awaited<ReturnType<typeof build>>) {
  const manifest = await readManifest(store, ref.manifest);
  const lines = (await Promise.all(manifest.buckets.map((bucket) => readBucket(store, bucket)))).flat();
  const rows = lines.map((line) => JSON.parse(line) as { id: string; text: string; label: string; split: string; weight?: number });
  return { manifest, rows: new Map(rows.map((row) => [row.id, row])) };
}

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3'] });
  pool = createPool(stack.config);
  root = rootPool(stack);
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  datasets = createDatasetActivities({
    pool,
    store,
    catalog,
    maxTextChars,
    modelsDir: await writeShippedEncoders(stack.home),
    predict: () => Promise.reject(new Error('no version is asked here')),
    beat: () => undefined,
  });
  await root.query('CREATE DATABASE shop');
  await root.query(
    `CREATE TABLE shop.reviews (number BIGINT UNSIGNED PRIMARY KEY, body TEXT, category VARCHAR(40), shop_name VARCHAR(20),
       KEY by_shop (shop_name)) CHARSET utf8mb4 COLLATE utf8mb4_general_ci`,
  );
  await letRead(root, 'shop.reviews');
});
afterAll(async () => {
  await pool.end();
  await root.end();
  await stack.remove();
});

const reviews = (filter: SourceMapping['filter'] = null): SourceMapping => ({
  database: 'shop',
  table: 'reviews',
  columns: { id: 'number', text: 'body', label: 'category' },
  filter,
});

const catalog = await loadCatalog();
const textClassification = () => {
  const model = catalog.get('text-classification');
  if (!model) throw new Error('no such business model');
  return model;
};

/** Rows that the server touched for this connection. */
async function handlerReads(connection: PoolConnection): Promise<number> {
  const [rows] = await connection.query<(RowDataPacket & { Value: string })[]>("SHOW SESSION STATUS LIKE 'Handler_read%'");
  return rows.reduce((sum, { Value }) => sum + Number(Value), 0);
}

async function addReviews(from: number, to: number, shop: string): Promise<void> {
  const rows = Array.from({ length: to - from }, (_, i) => [from + i, `review number ${from + i}`, `label-${(from + i) % 3}`, shop]);
  await root.query('INSERT INTO shop.reviews VALUES ?', [rows]);
}

describe('a dataset of a mapped table', () => {
  it('is byte for byte the dataset that the same rows give when they are kept here', async () => {
    await addReviews(0, 3_000, 'a');
    const mapped = await build(await customize(reviews()));
    const key = await customize(null);
    const [rows] = await root.query<(RowDataPacket & { number: string; body: string; category: string })[]>('SELECT * FROM shop.reviews');
    await pool.query('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ?', [
      rows.map(({ number, body, category }) => [
        key.tenantId,
        key.customizationId,
        number,
        JSON.stringify({ text: body, label: category }),
      ]),
    ]);
    const managed = await build(key);
    expect(mapped).toMatchObject({ rows: 3_000, digest: managed.digest });
    const manifests = await Promise.all([mapped, managed].map(({ manifest }) => readManifest(store, manifest)));
    expect(manifests[0]?.buckets).toHaveLength(4);
    expect(manifests[0]?.buckets.map(({ ref }) => ref.sha256)).toEqual(manifests[1]?.buckets.map(({ ref }) => ref.sha256));
    expect(manifests[0]?.source?.name).toBe('shop.reviews');
  });

  it('re-reads dirty buckets only, and comes to what a full build gives', async () => {
    const key = await customize(reviews());
    await build(key);
    await root.query("UPDATE shop.reviews SET category = 'label-x' WHERE number = 17");
    await root.query('DELETE FROM shop.reviews WHERE number = 18');
    await addReviews(3_000, 3_001, 'a');
    const dirty = ['17', '18', '3000'].reduce((set, id) => withBucket(set, bucketOf(id)), noBuckets);
    expect(await datasets.planDataset({ ...key, dirtyBuckets: dirty })).toMatchObject({ netChange: true, changedRows: 3, rows: 3_000 });
    const partial = await build(key, dirty);
    expect(partial.bucketsRead).toBeLessThanOrEqual(3);
    expect(partial.digest).toBe((await build(key)).digest);
  });

  it('holds the rows of its filter value and no other, also where the column takes other spellings for equal', async () => {
    await addReviews(10_000, 10_060, 'b');
    await addReviews(20_000, 20_060, 'B');
    await addReviews(30_000, 30_060, 'b ');
    const [small, large] = [
      await customize(reviews({ column: 'shop_name', equals: 'b' })),
      await customize(reviews({ column: 'shop_name', equals: 'B' })),
    ];
    const ids = async (key: Key): Promise<number[]> =>
      [...(await datasetOf(await build(key))).rows.keys()].map(Number).sort((a, b) => a - b);
    expect(await ids(small)).toEqual(Array.from({ length: 60 }, (_, i) => 10_000 + i));
    expect(await ids(large)).toEqual(Array.from({ length: 60 }, (_, i) => 20_000 + i));
  });

  it('reads everything anew when the mapping was changed, whatever was called dirty', async () => {
    const key = await customize(reviews({ column: 'shop_name', equals: 'b' }));
    await build(key);
    await pool.query('UPDATE modelwright.customizations SET source = ? WHERE tenant_id = ? AND customization_id = ?', [
      JSON.stringify(reviews({ column: 'shop_name', equals: 'B' })),
      key.tenantId,
      key.customizationId,
    ]);
    expect(await datasets.planDataset({ ...key, dirtyBuckets: noBuckets })).toMatchObject({ netChange: true, changedRows: 120, rows: 60 });
    const { rows } = await datasetOf(await build(key, noBuckets));
    expect([...rows.keys()].every((id) => Number(id) >= 20_000)).toBe(true);
  });

  it('has odd values exactly as the table has them, or names the row and the reason', async () => {
    await root.query(
      `CREATE TABLE shop.odd (id VARCHAR(200) CHARACTER SET utf8mb4 PRIMARY KEY, body LONGTEXT CHARACTER SET utf8mb4, label DECIMAL(30,10),
         weight DECIMAL(20,18), grp DATETIME(6), side ENUM('train','evaluation'), latin VARCHAR(50) CHARACTER SET latin1,
         small FLOAT, big BIGINT UNSIGNED, day DATE)`,
    );
    await letRead(root, 'shop.odd');
    await root.query("SET SESSION sql_mode = ''");
    const odd: [string, string | null, string | null, string | null, string | null, string | null][] = [
      ['plain', 'a text', '12345678901234567890.1234567891', '0.5', '2024-02-29 12:00:00.123456', 'train'],
      ['four-byte', 'smile 😀 and 你好 and ä', '1', null, null, null],
      ['null-text', null, '1', null, null, null],
      ['null-label', 'x', null, null, null, null],
      ['empty', '', '1', null, null, null],
      ['blank', '   ', '1', null, null, null],
      ['huge', 'x'.repeat(maxTextChars + 1), '1', null, null, null],
      ['largest', '😀'.repeat(maxTextChars), '1', null, null, null],
      ['zero-date', 'z', '1', null, '0000-00-00 00:00:00', null],
      ['too-exact', 'w', '1', '0.123456789012345678', null, null],
      ['negative', 'n', '1', '-1', null, null],
      ['has space', 'the id cannot be an id', '1', null, null, null],
      ['x'.repeat(150), 'the id is too long', '1', null, null, null],
      ['quote\'"\\`', 'ok', '1', null, null, 'evaluation'],
    ];
    const connection = await root.getConnection();
    await connection.query("SET SESSION sql_mode = ''");
    await connection.query('INSERT INTO shop.odd (id, body, label, weight, grp, side) VALUES ?', [odd]);
    await connection.query("UPDATE shop.odd SET latin = 'caf\u00e9', small = 0.1, big = 18446744073709551615, day = '0000-00-00'");
    connection.destroy();
    const of = (columns: Record<string, string>): SourceMapping => ({
      database: 'shop',
      table: 'odd',
      columns: { id: 'id', ...columns },
      filter: null,
    });
    const { manifest, rows } = await datasetOf(
      await build(await customize(of({ text: 'body', label: 'label', weight: 'weight', group: 'grp', split: 'side' }))),
    );
    const [exact] = await root.query<(RowDataPacket & Record<'id' | 'body' | 'label', string>)[]>(
      'SELECT id, body, CAST(label AS CHAR) AS label FROM shop.odd',
    );
    for (const [id, row] of rows)
      expect([id, row.text, row.label]).toEqual(exact.filter((one) => one.id === id).flatMap((one) => [one.id, one.body, one.label]));
    expect([...rows.keys()].sort()).toEqual(['four-byte', 'largest', 'plain', 'quote\'"\\`', 'zero-date'].sort());
    expect(rows.get('plain')).toMatchObject({ label: '12345678901234567890.1234567891', weight: 0.5, split: 'train' });
    expect(rows.get('quote\'"\\`')?.split).toBe('evaluation');
    const reasons = new Map(manifest.exclusions.flatMap(({ reason, exampleIds }) => exampleIds.map((id) => [id, reason])));
    expect(Object.fromEntries(reasons)).toEqual({
      'null-text': '/text null',
      'null-label': '/label null',
      empty: '/text too_small',
      blank: '/text blank',
      huge: '/text too_big',
      'too-exact': '/weight not_exact',
      negative: '/weight too_small',
      'has space': '/id invalid_format',
      ['x'.repeat(128)]: '/id invalid_format',
    });
    expect(JSON.stringify(manifest)).not.toContain('a text');
    const second = await datasetOf(await build(await customize(of({ text: 'latin', label: 'big', weight: 'small', group: 'day' }))));
    expect(second.rows.get('plain')).toMatchObject({ text: 'café', label: '18446744073709551615', weight: Math.fround(0.1) });
  });

  it('holds also what the log has not told yet, and reads nothing again when nothing was changed', async () => {
    const key = await customize(reviews({ column: 'shop_name', equals: 'a' }));
    const before = await build(key);
    expect(await build(key, allBuckets)).toMatchObject({ digest: before.digest, bucketsRead: 0, bucketsReused: before.bucketsRead });
    await root.query('UPDATE shop.reviews SET category = NULL WHERE number = 21');
    await root.query("UPDATE shop.reviews SET category = '' WHERE number = 22");
    await root.query("UPDATE shop.reviews SET body = CONCAT(body, ' ') WHERE number = 23");
    const told = withBucket(noBuckets, bucketOf('21'));
    const partial = await build(key, told);
    const { rows } = await datasetOf(partial);
    expect([rows.has('21'), rows.has('22'), rows.get('23')?.text]).toEqual([false, false, 'review number 23 ']);
    expect(partial.bucketsRead).toBeLessThanOrEqual(3);
    // Nothing that is reused hides a difference: the same table, read by a customization that has no dataset yet.
    const fresh = await build(await customize(reviews({ column: 'shop_name', equals: 'a' })));
    expect(partial.digest).toBe(fresh.digest);
    await root.query("UPDATE shop.reviews SET category = 'label-0' WHERE number IN (21, 22)");
  });

  it('reads a dirty bucket by a range of the index that is recommended, and the whole table without it', async () => {
    const connection = await pool.getConnection();
    const rowsScanned = async (): Promise<[number, number]> => {
      const table = await openMappedTable(connection, reviews({ column: 'shop_name', equals: 'a' }), textClassification(), maxTextChars);
      const before = await handlerReads(connection);
      let found = 0;
      for await (const { fine } of table.buckets(connection, [7, 9])) if ([7, 9].includes(fine)) found += 1;
      return [found, (await handlerReads(connection)) - before];
    };
    const [found, scanned] = await rowsScanned();
    expect(scanned).toBeGreaterThan(2_900);
    const table = await openMappedTable(connection, reviews({ column: 'shop_name', equals: 'a' }), textClassification(), maxTextChars);
    await root.query(table.bucketIndex);
    await root.query('ANALYZE TABLE shop.reviews');
    const [again, read] = await rowsScanned();
    connection.release();
    expect([again, found > 0]).toEqual([found, true]);
    expect(read).toBeLessThan(found * 4 + 20);
  });

  it('of a table that lost a mapped column says so and is not tried again', async () => {
    await root.query('CREATE TABLE shop.fragile (id INT PRIMARY KEY, body TEXT, label VARCHAR(9))');
    await letRead(root, 'shop.fragile');
    const key = await customize({ database: 'shop', table: 'fragile', columns: { id: 'id', text: 'body', label: 'label' }, filter: null });
    expect((await build(key)).rows).toBe(0);
    await root.query('ALTER TABLE shop.fragile DROP COLUMN label');
    await expect(build(key)).rejects.toMatchObject({
      type: 'SchemaHeld',
      nonRetryable: true,
      message: expect.stringContaining('column label was dropped'),
    });
    await root.query('DROP TABLE shop.fragile');
    await expect(build(key)).rejects.toMatchObject({ type: 'SchemaHeld', message: expect.stringContaining('shop.fragile: ') });
  });

  it('holds exactly what its cut says while writers never pause', async () => {
    const key = await customize(reviews({ column: 'shop_name', equals: 'w' }));
    let next = 100_000;
    const writing = new AbortController();
    const writer = (async () => {
      while (!writing.signal.aborted) await addReviews(next, ++next, 'w');
    })();
    const built: Awaited<ReturnType<typeof build>>[] = [];
    for (let i = 0; i < 3; i++) built.push(await build(key));
    writing.abort();
    await writer;
    const [[executed]] = await pool.query<(RowDataPacket & { g: string })[]>('SELECT @@global.gtid_executed AS g');
    for (const ref of built) {
      const { rows } = await datasetOf(ref);
      // Only this writer commits, one row a transaction: what the cut lacks of the end is what the dataset lacks of the rows.
      const [[missing]] = await pool.query<(RowDataPacket & { n: string })[]>('SELECT GTID_SUBTRACT(?, ?) AS n', [executed?.g, ref.cut]);
      const [from = 0, to = from] = (missing?.n ?? '').split(':').at(-1)?.split('-').map(Number) ?? [];
      const later = missing?.n ? to - from + 1 : 0;
      expect(later - (next - 100_000 - rows.size)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...[...rows.keys()].map(Number), 99_999) - 99_999).toBe(rows.size);
    }
  });
});
