import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import { noBuckets } from '../../core/dirty-buckets.ts';
import type { SchemaPolicy } from '../../core/schema-change.ts';
import type { SourceMapping } from '../../core/source-mapping.ts';
import { projectDir } from '../../platform/paths.ts';
import { type Pool, type RowDataPacket, createPool } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { readColumns } from '../../sources/table-columns.ts';
import { letRead, rootPool } from '../../test/support/root-pool.ts';
import { writeShippedEncoders } from '../../test/support/tiny-encoders.ts';
import { type TableEvent, decodeSchemaEvent } from '../../workers/cdc/schema/decode-schema-event.ts';
import { recordTableEvent } from '../../workers/cdc/schema/record-table-event.ts';
import { markTold, untoldChanges } from '../../workers/cdc/schema/untold-changes.ts';
import { publishModel } from '../sharding/publish-model.ts';
import type { GateVerdict } from '../../core/model.ts';
import { refuseCutOver } from '../registry/held-changes.ts';
import { createControlActivities } from '../registry/control-activities.ts';
import type { ControlActivities, DatasetActivities } from '../ports.ts';
import { createDatasetActivities } from './dataset-activities.ts';
import { readManifest } from './dataset-registry.ts';

type Key = { readonly tenantId: string; readonly customizationId: string };
type ChangeRow = RowDataPacket & { change_id: string; kind: string; effect: string; reason: string; decision: string | null };

let stack: TestStack;
let pool: Pool;
let root: Pool;
let store: ObjectStore;
let datasets: DatasetActivities;
let control: ControlActivities;
let count = 0;
let runs = 0;
let sequence = 0;
let table = '';

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3'] });
  pool = createPool(stack.config);
  root = rootPool(stack);
  store = createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket);
  control = createControlActivities({ pool, catalog: await loadCatalog() });
  datasets = createDatasetActivities({
    pool,
    store,
    catalog: await loadCatalog(),
    maxTextChars: 1_000,
    modelsDir: await writeShippedEncoders(stack.home),
    predict: () => Promise.reject(new Error('no version is asked here')),
    beat: () => undefined,
  });
  await root.query('CREATE DATABASE shop');
});
afterAll(async () => {
  await pool.end();
  await root.end();
  await stack.remove();
});
beforeEach(async () => {
  table = `reviews${++count}`;
  await root.query(
    `CREATE TABLE shop.${table} (number BIGINT UNSIGNED PRIMARY KEY, body VARCHAR(200) NOT NULL, category VARCHAR(40) NULL) CHARSET utf8mb4`,
  );
  await letRead(root, `shop.${table}`);
  const rows = Array.from({ length: 60 }, (_, i) => [i, `review number ${i}`, `label-${i % 3}`]);
  await root.query(`INSERT INTO shop.${table} VALUES ?`, [rows]);
  await told({ kind: 'found', columns: await columnsOf() });
});

const columnsOf = async () => {
  const found = await readColumns(pool, 'shop', table);
  if (!found) throw new Error('no such table');
  return found;
};

/** What the log says of the table now. */
async function told(change: TableEvent['change']): Promise<TableEvent> {
  const position = { gtid: `3e11fa47-71ca-11e1-9e33-c80aa9429562:${++sequence}`, file: 'binlog.000002', pos: sequence * 100, row: 0 };
  const event = { database: 'shop', table, position, atMs: Date.now(), ddl: 'the statement', change };
  await recordTableEvent(pool, event);
  return event;
}
/** Runs a statement on the table and, later, what the log says of it. */
async function ddl(sql: string, renames: Record<string, string> = {}): Promise<() => Promise<TableEvent>> {
  await root.query(sql.replace('TABLE t', `TABLE shop.${table}`));
  return async () => await told({ kind: 'structure', columns: await columnsOf(), renames, rowsRemoved: false });
}

async function customize(policy: SchemaPolicy = 'hold'): Promise<Key> {
  const key = { tenantId: 'acme', customizationId: `p${count}-${policy.replaceAll('_', '-')}` };
  const source: SourceMapping = {
    database: 'shop',
    table,
    columns: { id: 'number', text: 'body', label: 'category' },
    filter: null,
  };
  await pool.query(
    `INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, schema_policy, split_salt, source)
     VALUES (?, ?, 'C', 'text-classification', '{}', '{}', ?, ?, ?)`,
    [key.tenantId, key.customizationId, policy, 'a'.repeat(32), JSON.stringify(source)],
  );
  return key;
}
/** Without a dirty bucket, so that whatever is read is read for the structure's sake. */
const build = (key: Key, dirtyBuckets: string | null = noBuckets) => datasets.buildDataset({ ...key, run: ++runs, dirtyBuckets });
const plan = (key: Key, dirtyBuckets: string | null = noBuckets) => datasets.planDataset({ ...key, dirtyBuckets });
async function changesOf(key: Key): Promise<ChangeRow[]> {
  const [rows] = await pool.query<ChangeRow[]>(
    'SELECT change_id, kind, effect, reason, decision FROM modelwright_control.schema_changes WHERE tenant_id = ? AND customization_id = ? ORDER BY happened_at, schema_version',
    [key.tenantId, key.customizationId],
  );
  return rows;
}
async function sourceOf(key: Key): Promise<SourceMapping> {
  const [rows] = await pool.query<(RowDataPacket & { source: SourceMapping })[]>(
    'SELECT source FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ?',
    [key.tenantId, key.customizationId],
  );
  if (!rows[0]) throw new Error('no such customization');
  return rows[0].source;
}
let answers = 0;
const answer = (key: Key, changes: Partial<Parameters<ControlActivities['decideSchema']>[0]> = {}) =>
  control.decideSchema({
    ...key,
    requestKey: `update/${++answers}`,
    changeId: null,
    action: 'approve',
    columns: null,
    table: null,
    actor: 'tester',
    reason: null,
    ...changes,
  });
const heldWith = (text: string) => ({ type: 'SchemaHeld', message: expect.stringContaining(text) });

describe('a dataset and the structure of its table', () => {
  it('pins the mapped columns, and reuses buckets while they are the same', async () => {
    const key = await customize();
    const first = await build(key);
    const { schema } = await readManifest(store, first.manifest);
    expect(schema?.columns.map(({ name, type, length }) => `${name} ${type} ${length}`)).toEqual([
      'number bigint unsigned null',
      'body varchar 200',
      'category varchar 40',
    ]);
    expect(schema?.version).toBe(1);
    await (
      await ddl('ALTER TABLE t ADD COLUMN note INT')
    )();
    const second = await build(key);
    expect(second).toMatchObject({ bucketsRead: 0, digest: first.digest });
    expect((await readManifest(store, second.manifest)).schema).toMatchObject({ version: 2, digest: schema?.digest });
    expect(await changesOf(key)).toMatchObject([{ kind: 'column_added', effect: 'recorded', decision: 'policy' }]);
  });

  it('is read whole again after a mapped column became wider, whether or not the log has told of it', async () => {
    const key = await customize();
    const first = await build(key);
    const tell = await ddl('ALTER TABLE t MODIFY body VARCHAR(300) NOT NULL');
    expect(await build(key)).toMatchObject({ bucketsRead: 1, digest: first.digest });
    await tell();
    expect(await changesOf(key)).toMatchObject([{ kind: 'type_widened', effect: 'recorded' }]);
    expect(await build(key)).toMatchObject({ bucketsRead: 0 });
  });

  for (const [sql, kind, renames] of [
    ['ALTER TABLE t MODIFY body VARCHAR(50) NOT NULL', 'type_narrowed', {}],
    ['ALTER TABLE t CONVERT TO CHARACTER SET latin1', 'charset_changed', {}],
    ['ALTER TABLE t RENAME COLUMN body TO content', 'column_renamed', { body: 'content' }],
    ['ALTER TABLE t DROP COLUMN category', 'column_dropped', {}],
  ] as const)
    it(`${kind} holds it before the log tells of it, and the log's account replaces the reader's`, async () => {
      const key = await customize();
      await build(key);
      const tell = await ddl(sql, renames);
      await expect(plan(key)).rejects.toMatchObject(heldWith(`shop.${table}: column`));
      await expect(build(key)).rejects.toMatchObject(heldWith('training is held'));
      expect(await changesOf(key)).toMatchObject([{ effect: 'held', decision: null }]);
      const { position } = await tell();
      const changes = await changesOf(key);
      expect(changes.map(({ decision }) => String(decision)).sort()).toEqual(['log', 'null']);
      expect(changes.find(({ decision }) => decision === null)).toMatchObject({
        kind,
        effect: 'held',
        change_id: `${position.gtid}/shop.${table}`,
      });
      await expect(plan(key)).rejects.toMatchObject(heldWith('training is held'));
      expect((await control.loadCustomization(key))?.heldSchema).toMatchObject({ kind, changeId: `${position.gtid}/shop.${table}` });
    });

  it('goes on over a narrower column when a person approves, and reads everything again', async () => {
    const key = await customize();
    await build(key);
    await (
      await ddl('ALTER TABLE t MODIFY body VARCHAR(50) NOT NULL')
    )();
    const requestKey = 'update/approve';
    const decided = await answer(key, { requestKey });
    expect(decided).toMatchObject({ rebuild: true, schemaVersion: 2 });
    expect(await answer(key, { requestKey })).toEqual(decided);
    await expect(answer(key)).rejects.toMatchObject({ type: 'BadOptions', message: expect.stringContaining('waits for an answer') });
    expect(await build(key)).toMatchObject({ bucketsRead: 1 });
    const [audit] = await pool.query<RowDataPacket[]>(
      "SELECT actor, action FROM modelwright_control.audit WHERE action = 'schema.approve' AND detail->>'$.customizationId' = ?",
      [key.customizationId],
    );
    expect(audit).toEqual([{ actor: 'tester', action: 'schema.approve' }]);
  });

  it('that a person approved before the log told of the change is not held again by it', async () => {
    const key = await customize();
    await build(key);
    const tell = await ddl('ALTER TABLE t MODIFY body VARCHAR(50) NOT NULL');
    await expect(plan(key)).rejects.toMatchObject(heldWith('varchar(50)'));
    await answer(key);
    await tell();
    expect((await changesOf(key)).filter(({ effect, decision }) => effect === 'held' && decision === null)).toEqual([]);
    await build(key);
  });

  it('goes on after a rename when the column is mapped anew, and not before', async () => {
    const key = await customize();
    const first = await build(key);
    await root.query(
      `INSERT INTO modelwright_control.source_grants (tenant_id, database_name, table_name, approved_by) VALUES ('acme', 'shop', ?, 'op')`,
      [table],
    );
    await (
      await ddl('ALTER TABLE t RENAME COLUMN body TO content', { body: 'content' })
    )();
    await expect(answer(key)).rejects.toMatchObject({ type: 'BadOptions', message: expect.stringContaining('no column body') });
    for (const [columns, problem] of [
      [{ text: 'nothing' }, 'has no column nothing'],
      [{ text: 'content', colour: 'category' }, 'is not a field'],
      [{ text: 'content', id: 'category' }, 'does not tell rows apart'],
    ] as const)
      await expect(answer(key, { action: 'remap', columns })).rejects.toMatchObject({
        type: 'BadOptions',
        message: expect.stringContaining(problem),
      });
    await expect(answer(key, { action: 'remap', table: 'secrets' })).rejects.toMatchObject({
      message: expect.stringContaining('has not granted'),
    });
    await answer(key, { action: 'remap', columns: { text: 'content' } });
    expect((await sourceOf(key)).columns).toEqual({ id: 'number', text: 'content', label: 'category' });
    expect(await build(key)).toMatchObject({ digest: first.digest });
  });

  it('follows a renamed column by itself under adopt, and starts a run under adopt_and_retrain', async () => {
    const keys = [await customize('adopt'), await customize('adopt_and_retrain'), await customize('ignore')] as const;
    const first = await build(keys[0]);
    await (
      await ddl('ALTER TABLE t CHANGE body content VARCHAR(100) NOT NULL', { body: 'content' })
    )();
    expect((await sourceOf(keys[0])).columns.text).toBe('content');
    expect(await build(keys[0])).toMatchObject({ digest: first.digest, bucketsRead: 1 });
    expect((await changesOf(keys[0])).at(-1)).toMatchObject({ kind: 'column_renamed', effect: 'rebuild', decision: 'policy' });
    const untold = (await untoldChanges(pool, 100)).filter(({ change }) => change.table === `shop.${table}`);
    const told = untold.map(({ change: { customizationId, effect, retrain } }) => `${customizationId} ${effect} ${retrain ?? false}`);
    expect(told.sort()).toEqual([
      `${keys[0].customizationId} rebuild false`,
      `${keys[1].customizationId} rebuild true`,
      `${keys[2].customizationId} held false`,
    ]);
    for (const change of untold) await markTold(pool, change);
    expect((await untoldChanges(pool, 100)).filter(({ change }) => change.table === `shop.${table}`)).toEqual([]);
  });

  it('of an emptied table is never ready, and a model of one that was filled again is not published', async () => {
    const key = await customize();
    await build(key);
    await root.query(`TRUNCATE TABLE shop.${table}`);
    expect(await plan(key, null)).toMatchObject({ ready: false, rows: 0 });
    await root.query(`INSERT INTO shop.${table} SELECT n, CONCAT('new text ', n), CONCAT('label-', n % 3) FROM
      (WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 60) SELECT n FROM s) numbers`);
    const dataset = await build(key, null);
    await pool.query(
      "INSERT INTO modelwright_control.runs (tenant_id, customization_id, number, request_key, state, trigger_kind) VALUES (?, ?, ?, 'r', 'training', 'changes')",
      [key.tenantId, key.customizationId, runs],
    );
    const publish = () =>
      publishModel(pool, {
        ...key,
        run: runs,
        attempt: 1,
        dataset,
        sharded: { version: 1, manifest: dataset.manifest, bytes: 1, storedBytes: 1, parent: null },
        metrics: { metric: 'accuracy', unit: 'share', values: { accuracy: 1 }, rows: { train: 1, evaluation: 1 }, perLabel: {} },
        verdict: {} as GateVerdict,
      });
    // The log tells of the statement with the GTID that it had: the dataset was cut after it.
    const [gtids] = await root.query<(RowDataPacket & { uuid: string })[]>('SELECT @@server_uuid AS uuid');
    const position = { gtid: `${gtids[0]?.uuid}:1`, file: 'b.1', pos: 7, row: 0 };
    await recordTableEvent(pool, { database: 'shop', table, position, atMs: Date.now(), ddl: '', change: { kind: 'truncated' } });
    await expect(publish()).rejects.toMatchObject(heldWith('the table was truncated'));
    await expect(plan(key)).rejects.toMatchObject(heldWith('the table was truncated'));
    await expect(answer(key, { action: 'ignore' })).rejects.toMatchObject({
      type: 'BadOptions',
      message: expect.stringContaining('rows are gone'),
    });
    await answer(key);
    expect(await publish()).toEqual({ version: 1 });
    expect(await plan(key, null)).toMatchObject({ ready: true, rows: 60 });
  });

  it('that was cut before a change is published although the change is held', async () => {
    const key = await customize();
    const dataset = await build(key);
    await (
      await ddl('ALTER TABLE t DROP COLUMN category')
    )();
    await expect(refuseCutOver(pool, key, dataset.cut)).resolves.toBeUndefined();
    await expect(plan(key)).rejects.toMatchObject(heldWith('category was dropped'));
  });

  it('is held when the table is gone, and goes on when it is back and approved', async () => {
    const key = await customize();
    await build(key);
    await root.query(`RENAME TABLE shop.${table} TO shop.away`);
    await expect(plan(key)).rejects.toMatchObject(heldWith('does not exist'));
    await told({ kind: 'renamed', to: 'shop.away' });
    await expect(answer(key)).rejects.toMatchObject({ message: expect.stringContaining('there is no table') });
    await root.query(`RENAME TABLE shop.away TO shop.${table}`);
    await expect(plan(key)).rejects.toMatchObject(heldWith('renamed to shop.away'));
    await answer(key);
    expect(await plan(key)).toMatchObject({ netChange: false, rows: 60 });
  });

  it('makes DDL wait while it is read', async () => {
    const key = await customize();
    await build(key);
    let altered = false;
    const slow = createDatasetActivities({
      pool,
      store,
      catalog: await loadCatalog(),
      maxTextChars: 1_000,
      modelsDir: await writeShippedEncoders(stack.home),
      predict: () => Promise.reject(new Error('no version is asked here')),
      // Called between the buckets, under the snapshot.
      beat: () => {
        if (altering.length === 0)
          altering.push(root.query(`ALTER TABLE shop.${table} DROP COLUMN category`).then(() => void (altered = true)));
      },
    });
    const altering: Promise<unknown>[] = [];
    const built = await slow.buildDataset({ ...key, run: ++runs, dirtyBuckets: null });
    expect(built.rows).toBe(60);
    await Promise.all(altering);
    expect(altered).toBe(true);
    await expect(plan(key)).rejects.toMatchObject(heldWith('column category was dropped'));
  });
});

describe('what the log tells', () => {
  it('is on record once however often it is delivered, with every version of the structure', async () => {
    const key = await customize();
    const recorded = readFileSync(join(projectDir, 'test', 'recorded', 'debezium-schema-events.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .flatMap((line) => (JSON.parse(line) as { events: object[] }).events)
      .flatMap((event) => {
        const decoded = decodeSchemaEvent({ value: Buffer.from(JSON.stringify(event)) });
        return decoded.kind === 'events' ? decoded.events : [];
      })
      .map((event) => (event.table === 'reviews' ? { ...event, table } : event));
    for (const event of recorded) await recordTableEvent(pool, event);
    const once = await changesOf(key);
    for (const event of recorded) await recordTableEvent(pool, event);
    expect(await changesOf(key)).toEqual(once);
    expect(once.filter(({ effect }) => effect === 'held').map(({ kind }) => kind)).toContain('table_dropped');
    const [versions] = await pool.query<(RowDataPacket & { table_name: string })[]>(
      "SELECT table_name FROM modelwright_control.schema_versions WHERE database_name = 'shop' AND table_name LIKE '%\\_gh%'",
    );
    expect(versions).toEqual([]);
  });

  it('of our own table is asked about only if a stranger did it', async () => {
    const key = { tenantId: 'acme', customizationId: `managed-${count}` };
    await pool.query(
      `INSERT INTO modelwright.customizations (tenant_id, customization_id, name, business_model, options, policy, split_salt)
       VALUES (?, ?, 'C', 'text-classification', '{}', '{}', ?)`,
      [key.tenantId, key.customizationId, 'a'.repeat(32)],
    );
    const event = (ddlText: string, changes: Partial<TableEvent> = {}): TableEvent => ({
      database: 'modelwright',
      table: 'examples',
      position: { gtid: `3e11fa47-71ca-11e1-9e33-c80aa9429562:${++sequence}`, file: 'b.1', pos: sequence, row: 0 },
      atMs: Date.now(),
      ddl: ddlText,
      change: { kind: 'truncated' },
      ...changes,
    });
    const columns = (await readColumns(pool, 'modelwright', 'examples')) ?? [];
    await recordTableEvent(pool, event('', { change: { kind: 'found', columns } }));
    const without = columns.filter(({ name }) => name !== 'bucket');
    const change = { kind: 'structure', columns: without, renames: {}, rowsRemoved: false } as const;
    await recordTableEvent(pool, event('ALTER /* modelwright migration */ TABLE modelwright.examples DROP COLUMN bucket', { change }));
    expect(await changesOf(key)).toMatchObject([{ kind: 'column_dropped', effect: 'rebuild' }]);
    await recordTableEvent(pool, event('TRUNCATE TABLE examples'));
    expect((await changesOf(key)).at(-1)).toMatchObject({ kind: 'table_truncated', effect: 'held', decision: null });
  });
});
