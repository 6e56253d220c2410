import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import { noBuckets, withBucket } from '../../core/dirty-buckets.ts';
import { gtidSetContains } from '../../core/gtid.ts';
import { bucketOf, sha256Hex } from '../../platform/hash.ts';
import { type Pool, type RowDataPacket, createPool } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { writeShippedEncoders } from '../../test/support/tiny-encoders.ts';
import type { DatasetActivities } from '../ports.ts';
import { readBucket } from './bucket-file.ts';
import { createDatasetActivities } from './dataset-activities.ts';
import { readManifest } from './dataset-registry.ts';

let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let datasets: DatasetActivities;
/** What is said to have changed between a run's plan and its build. */
let changedLater: string | null = noBuckets;
let customizations = 0;

/** A customization of its own for each test. */
async function customize(): Promise<{ tenantId: string; customizationId: string }> {
  const key = { tenantId: 'acme', customizationId: `c${++customizations}` };
  await pool.query(
    "INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt) VALUES (?, ?, 'C', 'text-classification', '{}', '{}', ?)",
    [key.tenantId, key.customizationId, 'a'.repeat(32)],
  );
  return key;
}

const contentOf = (i: number, label = `label-${i % 3}`): string => JSON.stringify({ text: `text number ${i}`, label });

async function insert(key: { tenantId: string; customizationId: string }, from: number, to: number): Promise<void> {
  const rows = Array.from({ length: to - from }, (_, i) => [key.tenantId, key.customizationId, `e${from + i}`, contentOf(from + i)]);
  await pool.query('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ?', [rows]);
}

let runs = 0;
const build = (key: { tenantId: string; customizationId: string }, dirtyBuckets: string | null = null) =>
  datasets.buildDataset({ ...key, run: ++runs, dirtyBuckets });

async function rowsOf(ref: Awaited<ReturnType<typeof build>>): Promise<Map<string, { text: string; label: string; split: string }>> {
  const manifest = await readManifest(store, ref.manifest);
  const lines = (await Promise.all(manifest.buckets.map((bucket) => readBucket(store, bucket)))).flat();
  return new Map(
    lines.map((line) => JSON.parse(line) as { id: string; text: string; label: string; split: string }).map((row) => [row.id, row]),
  );
}

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3'] });
  pool = createPool(stack.config);
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  datasets = createDatasetActivities({
    pool,
    store,
    catalog: await loadCatalog(),
    maxTextChars: 1_000,
    modelsDir: await writeShippedEncoders(stack.home),
    predict: () => Promise.reject(new Error('no version is asked here')),
    changedBuckets: () => Promise.resolve(changedLater),
    beat: () => undefined,
  });
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

describe('a dataset', () => {
  it('equals the table, and names the GTID set at which it does', async () => {
    const key = await customize();
    await insert(key, 0, 300);
    const ref = await build(key);
    expect(ref).toMatchObject({ number: 1, rows: 300 });
    const rows = await rowsOf(ref);
    expect([...rows.keys()].sort()).toEqual(Array.from({ length: 300 }, (_, i) => `e${i}`).sort());
    const [executed] = await pool.query<({ g: string } & RowDataPacket)[]>('SELECT @@global.gtid_executed AS g');
    const [subset] = await pool.query<({ s: number } & RowDataPacket)[]>('SELECT GTID_SUBSET(?, ?) AS s', [ref.cut, executed[0]?.g]);
    expect(ref.cut).not.toBe('');
    expect(Number(subset[0]?.s)).toBe(1);
  });

  it('is built once a run, however often it is asked for', async () => {
    const key = await customize();
    await insert(key, 0, 60);
    const run = ++runs;
    // So many at once lock each other out now and then: none of them may fail for it.
    const all = await Promise.all([1, 2, 3, 4].map(() => datasets.buildDataset({ ...key, run, dirtyBuckets: null })));
    await insert(key, 60, 70);
    all.push(await datasets.buildDataset({ ...key, run, dirtyBuckets: null }));
    expect(new Set(all.map(({ number, rows, digest }) => `${number} ${rows} ${digest}`))).toEqual(new Set([`1 60 ${all[0]?.digest}`]));
  });

  it('re-reads dirty buckets only, and comes to the very dataset that a full build gives', async () => {
    const key = await customize();
    await insert(key, 0, 5_000);
    await build(key);
    await pool.query('UPDATE modelwright.examples SET content = ? WHERE tenant_id = ? AND customization_id = ? AND example_id = ?', [
      contentOf(17, 'label-x'),
      key.tenantId,
      key.customizationId,
      'e17',
    ]);
    await pool.query('DELETE FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? AND example_id = ?', [
      key.tenantId,
      key.customizationId,
      'e18',
    ]);
    await insert(key, 5_000, 5_001);
    const dirty = ['e17', 'e18', 'e5000'].reduce((set, id) => withBucket(set, bucketOf(id)), noBuckets);
    const plan = await datasets.planDataset({ ...key, dirtyBuckets: dirty });
    expect(plan).toMatchObject({ netChange: true, ready: true, changedRows: 3, rows: 5_000 });
    const partial = await build(key, dirty);
    expect(partial.bucketsRead).toBeLessThanOrEqual(3);
    expect(partial.bucketsReused).toBeGreaterThanOrEqual(5);
    const full = await build(key, null);
    expect(full.digest).toBe(partial.digest);
    const rows = await rowsOf(partial);
    expect(rows.get('e17')?.label).toBe('label-x');
    expect(rows.has('e18')).toBe(false);
    expect(rows.has('e5000')).toBe(true);
  });

  it('also holds what was committed between the plan and the build, in buckets that the run was not started for', async () => {
    const key = await customize();
    await insert(key, 0, 5_000);
    await build(key);
    await insert(key, 5_000, 5_001);
    await insert(key, 6_000, 6_002);
    const dirty = withBucket(noBuckets, bucketOf('e5000'));
    changedLater = ['e6000', 'e6001'].reduce((set, id) => withBucket(set, bucketOf(id)), noBuckets);
    const exact = await build(key, dirty);
    changedLater = null;
    await insert(key, 7_000, 7_001);
    const whole = await build(key, dirty);
    changedLater = noBuckets;
    const rows = await rowsOf(exact);
    expect(['e5000', 'e6000', 'e6001'].every((id) => rows.has(id))).toBe(true);
    expect(exact.bucketsReused).toBeGreaterThan(0);
    expect((await rowsOf(whole)).has('e7000')).toBe(true);
    expect(whole.bucketsReused).toBe(0);
  });

  it('counts languages bucket by bucket, and freezes the encoder that knows them; one from before they were counted stays readable', async () => {
    const key = await customize();
    const texts = async (prefix: string, from: number, to: number): Promise<void> => {
      const rows = Array.from({ length: to - from }, (_, i) => [key.tenantId, key.customizationId, `e${from + i}`, from + i] as const);
      const contents = rows.map(([tenant, c, id, i]) => [
        tenant,
        c,
        id,
        JSON.stringify({ text: `${prefix} ${i}`, label: `label-${i % 3}` }),
      ]);
      await pool.query('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ?', [contents]);
    };
    const chosen = async (ref: Awaited<ReturnType<typeof build>>) => {
      const { languages, baseModel, buckets } = await readManifest(store, ref.manifest);
      return { languages, baseModel, buckets };
    };
    await texts('what is the balance of my account', 0, 5_000);
    const first = await build(key);
    const english = await chosen(first);
    expect(english).toMatchObject({ languages: { en: 5_000 }, baseModel: { name: 'all-MiniLM-L6-v2', languages: ['en'] } });
    await texts('我想订一张火车票', 5_000, 5_400);
    const later = Array.from({ length: 400 }, (_, i) => bucketOf(`e${5_000 + i}`)).reduce(withBucket, noBuckets);
    // Too few to count, and so it stays.
    expect(await chosen(await build(key, later))).toMatchObject({
      languages: { en: 5_000, zh: 400 },
      baseModel: { name: 'all-MiniLM-L6-v2' },
    });
    await texts('请问酒店有早餐吗', 6_000, 6_400);
    const third = await build(key, null);
    expect(await chosen(third)).toMatchObject({
      languages: { en: 5_000, zh: 800 },
      baseModel: { name: 'multilingual-e5-small', languages: ['en', 'zh'] },
    });
    const [rows] = await pool.query<({ base_model: { why: string } } & RowDataPacket)[]>(
      'SELECT base_model FROM modelwright_control.datasets WHERE customization_id = ? AND number = 3',
      [key.customizationId],
    );
    expect(rows[0]?.base_model.why).toContain('en 86 %, zh 14 %');
    // As it was written before: without languages and choice.
    const { languages: _, baseModel: __, buckets, ...old } = await readManifest(store, third.manifest);
    const bytes = Buffer.from(JSON.stringify({ ...old, buckets: buckets.map(({ languages: ___, ...bucket }) => bucket) }));
    const sha256 = sha256Hex(bytes);
    await store.putContent(`test/${sha256}`, bytes, sha256);
    await pool.query(
      'UPDATE modelwright_control.datasets SET manifest_key = ?, manifest_sha256 = ?, manifest_bytes = ?, base_model = NULL WHERE customization_id = ? AND number = 3',
      [`test/${sha256}`, sha256, bytes.byteLength, key.customizationId],
    );
    await texts('how do I', 7_000, 7_001);
    const fourth = await build(key, withBucket(noBuckets, bucketOf('e7000')));
    expect(fourth.bucketsReused).toBeGreaterThan(0);
    expect(await chosen(fourth)).toMatchObject({ languages: { en: 5_001, zh: 800 }, baseModel: { name: 'multilingual-e5-small' } });
  });

  it('keeps every row on its side of the split from one dataset to the next', async () => {
    const key = await customize();
    await insert(key, 0, 400);
    const before = await rowsOf(await build(key));
    await insert(key, 400, 800);
    const after = await rowsOf(await build(key));
    for (const [id, { split }] of before) expect(after.get(id)?.split).toBe(split);
    expect([...after.values()].filter(({ split }) => split === 'evaluation').length).toBeGreaterThan(60);
  });

  it('leaves rows out that the trainer cannot use, with reason and id, and says which texts contradict each other', async () => {
    const key = await customize();
    await insert(key, 0, 60);
    const bad = [
      ['bad-1', JSON.stringify({ text: 5, label: 'x' })],
      ['bad-2', JSON.stringify({ label: 'x' })],
      ['twin-1', JSON.stringify({ text: 'The same text', label: 'x' })],
      ['twin-2', JSON.stringify({ text: 'the same TEXT!', label: 'y' })],
    ].map(([id, content]) => [key.tenantId, key.customizationId, id, content]);
    await pool.query('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ?', [bad]);
    const ref = await build(key);
    const manifest = await readManifest(store, ref.manifest);
    expect(ref.rows).toBe(62);
    expect(manifest.exclusions.flatMap(({ exampleIds }) => exampleIds).sort()).toEqual(['bad-1', 'bad-2']);
    expect(manifest.conflicts).toMatchObject({ groups: 1 });
    expect([...manifest.conflicts.exampleIds].sort()).toEqual(['twin-1', 'twin-2']);
    const rows = await rowsOf(ref);
    expect(rows.get('twin-1')?.split).toBe(rows.get('twin-2')?.split);
  });

  it('sees no net change after an edit that was taken back', async () => {
    const key = await customize();
    await insert(key, 0, 60);
    await build(key);
    const set = (content: string) =>
      pool.query("UPDATE modelwright.examples SET content = ? WHERE tenant_id = ? AND customization_id = ? AND example_id = 'e5'", [
        content,
        key.tenantId,
        key.customizationId,
      ]);
    const dirty = withBucket(noBuckets, bucketOf('e5'));
    await set(contentOf(5, 'other'));
    expect(await datasets.planDataset({ ...key, dirtyBuckets: dirty })).toMatchObject({ netChange: true, changedRows: 1 });
    await set(contentOf(5));
    expect(await datasets.planDataset({ ...key, dirtyBuckets: dirty })).toMatchObject({ netChange: false, changedRows: 0 });
  });

  it('is not ready while there are too few labels, and says which', async () => {
    const key = await customize();
    await insert(key, 0, 6);
    const plan = await datasets.planDataset({ ...key, dirtyBuckets: null });
    expect(plan.ready).toBe(false);
    expect(plan.reasons[0]).toContain('"label-0" has 2');
  });

  it('of a customization that is gone is refused for good', async () => {
    await expect(build({ tenantId: 'acme', customizationId: 'gone' })).rejects.toMatchObject({
      type: 'CustomizationGone',
      nonRetryable: true,
    });
  });

  it('holds exactly what its cut says while writers never pause', async () => {
    const key = await customize();
    await insert(key, 0, 100);
    let next = 100;
    const writing = new AbortController();
    const gtids = new Map<string, string>();
    const writer = (async () => {
      const connection = await pool.getConnection();
      while (!writing.signal.aborted) {
        const id = next++;
        const [header] = await connection.query(
          'INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES (?, ?, ?, ?)',
          [key.tenantId, key.customizationId, `e${id}`, contentOf(id)],
        );
        const gtid = (header as { stateChanges?: { gtids?: string[] } }).stateChanges?.gtids?.at(-1);
        if (gtid) gtids.set(`e${id}`, gtid);
      }
      connection.release();
    })();
    const built: Awaited<ReturnType<typeof build>>[] = [];
    for (let i = 0; i < 5; i++) built.push(await build(key));
    writing.abort();
    await writer;
    expect(gtids.size).toBeGreaterThan(50);
    for (const ref of built) {
      const rows = await rowsOf(ref);
      for (const [id, gtid] of gtids) expect(`${id} ${rows.has(id)}`).toBe(`${id} ${gtidSetContains(ref.cut, gtid)}`);
    }
  });

  it('is refused when a stored bucket was damaged', async () => {
    const key = await customize();
    await insert(key, 0, 60);
    const ref = await build(key);
    const manifest = await readManifest(store, ref.manifest);
    const [bucket] = manifest.buckets;
    if (!bucket) throw new Error('no bucket');
    await store.delete([bucket.ref.key]);
    await store.putNew(bucket.ref.key, Buffer.from('damaged'));
    await pool.query("UPDATE modelwright.examples SET content = ? WHERE tenant_id = ? AND customization_id = ? AND example_id = 'e1'", [
      contentOf(1, 'other'),
      key.tenantId,
      key.customizationId,
    ]);
    await expect(datasets.planDataset({ ...key, dirtyBuckets: null })).rejects.toMatchObject({ type: 'Corrupt' });
    expect(sha256Hex('damaged')).not.toBe(bucket.ref.sha256);
  });
});
