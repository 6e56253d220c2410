import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../cli/api-client.ts';
import type { Page, Predictions, Run } from '../cli/api-types.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import type { SchemaDecided, SchemaPolicy } from '../core/schema-change.ts';
import { createTemporalClient } from '../platform/temporal.ts';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';
import { Operator, datasetToEqual } from './support/mapped-tables.ts';
import { rootPool } from './support/root-pool.ts';

type Change = { readonly kind: string; readonly effect: string; readonly reason: string; readonly decision: string | null };
type Schema = {
  readonly mapping: { readonly columns: Record<string, string> };
  readonly current: { readonly version: number };
  readonly held: readonly Change[];
  readonly history: readonly Change[];
};
type Status = { readonly phase: string; readonly why: string; readonly held: { readonly reason: string; readonly kind?: string } | null };

let stack: TestStack;
let root: Pool;
let operator: Operator;
const policy = { quietPeriodMs: 500, maxWaitMs: 2_000 };
const waitMs = 180_000;

/** A tenant that maps `shop.reviews`: every policy reads rows of its own out of one table. */
class Reader {
  readonly api: ApiClient;
  readonly id: string;
  constructor(api: ApiClient, id: string) {
    this.api = api;
    this.id = id;
  }
  static async make(schemaPolicy: SchemaPolicy): Promise<Reader> {
    const id = schemaPolicy.replaceAll('_', '-');
    const api = await operator.tenant(id);
    await operator.grant(id, 'shop.reviews', { column: 'shop', equals: id });
    await fill(id, 0, 90);
    const source = { database: 'shop', table: 'reviews', columns: { id: 'number', text: 'body', label: 'topic' } };
    await api.call('POST', '/v1/customizations', {
      id: 'c',
      name: 'C',
      businessModel: 'text-classification',
      policy,
      schemaPolicy,
      source,
    });
    return new Reader(api, id);
  }
  schema = (): Promise<Schema> => this.api.call<Schema>('GET', '/v1/customizations/c/schema');
  status = (): Promise<Status> => this.api.call<Status>('GET', '/v1/customizations/c/status');
  runs = async (): Promise<readonly Run[]> => (await this.api.call<Page<Run>>('GET', '/v1/customizations/c/runs')).items;
  answer = (body: object): Promise<SchemaDecided> =>
    this.api.call<SchemaDecided>('POST', '/v1/customizations/c:approveSchema', { reason: 'looked at it', ...body });
  predict = (): Promise<Predictions> =>
    this.api.call<Predictions>('POST', '/v1/customizations/c:predict', { inputs: [{ text: 'The final match had two goals' }] });

  held(kind: string): Promise<Status> {
    return eventually(
      `${this.id} to be held by ${kind}`,
      async () => {
        const status = await this.status();
        return status.phase === 'held' && status.held?.kind === kind ? status : null;
      },
      waitMs,
    );
  }
  /** The newest dataset holds exactly the tenant's rows. */
  equal(text = 'body'): Promise<void> {
    const sql = `SELECT CAST(number AS CHAR) AS id, ${text} AS text, topic AS label FROM shop.reviews WHERE shop = '${this.id}'`;
    return datasetToEqual(stack, root, { tenantId: this.id, c: 'c' }, sql, waitMs);
  }
  async settled(): Promise<void> {
    await eventually(`${this.id} to rest`, async () => ((await this.status()).phase === 'idle' ? true : null), waitMs);
  }
}

let number = 0;
async function fill(shop: string, from: number, to: number, text = 'body'): Promise<void> {
  const rows = sentences(from, to).map((row) => [++number, row.text, row.label, shop]);
  await root.query(`INSERT INTO shop.reviews (number, ${text}, topic, shop) VALUES ?`, [rows]);
}

/** Commits rows of every tenant until it is stopped; a row that is refused during a swap is written again. */
function writer(readers: readonly Reader[], text = 'body'): () => Promise<number> {
  const stopping = new AbortController();
  let written = 0;
  const writing = (async () => {
    for (let at = 1_000; !stopping.signal.aborted; at += 2) {
      for (const { id } of readers) await fill(id, at, at + 2, text);
      written += 2;
      await sleep(20);
    }
  })();
  return async () => {
    stopping.abort();
    await writing;
    return written;
  };
}

let hold: Reader;
let adopt: Reader;

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames });
  root = rootPool(stack);
  operator = new Operator(stack, root);
  await root.query('CREATE DATABASE shop');
  await root.query(
    `CREATE TABLE shop.reviews (number BIGINT UNSIGNED PRIMARY KEY, body VARCHAR(300) NOT NULL, topic VARCHAR(40) NULL, shop VARCHAR(32) NOT NULL,
       KEY by_shop (shop)) CHARSET utf8mb4`,
  );
  hold = await Reader.make('hold');
  adopt = await Reader.make('adopt_and_retrain');
  for (const reader of [hold, adopt]) await eventually(`the first version of ${reader.id}`, async () => await reader.predict(), waitMs);
});
afterAll(async () => {
  await root.end();
  await stack.remove();
});

const all = (): Reader[] => [hold, adopt];

describe('DDL of a mapped table', () => {
  it('by gh-ost, with writers, is one recorded change: nothing is held and no row is lost', async () => {
    for (const reader of all()) await reader.settled();
    const before = await Promise.all(all().map(async (reader) => (await reader.schema()).history.length));
    const stop = writer(all());
    const connection = await root.getConnection();
    await connection.query('USE shop');
    await connection.query('create /* gh-ost */ table `shop`.`_reviews_gho` like `shop`.`reviews`');
    await connection.query('alter /* gh-ost */ table `shop`.`_reviews_gho` ADD COLUMN note VARCHAR(20) NULL');
    const columns = '`number`, `body`, `topic`, `shop`';
    const copy = `insert /* gh-ost */ ignore into \`_reviews_gho\` (${columns}) select ${columns} from \`reviews\``;
    await connection.query(copy);
    // The cut-over: writers wait, the rest is copied, both names change at once.
    await connection.query('lock /* gh-ost */ tables `reviews` write, `_reviews_gho` write');
    await connection.query(copy);
    await connection.query('rename /* gh-ost */ table `reviews` to `_reviews_del`, `_reviews_gho` to `reviews`');
    await connection.query('unlock tables');
    await connection.query('drop /* gh-ost */ table if exists `shop`.`_reviews_del`');
    connection.release();
    await sleep(500);
    expect(await stop()).toBeGreaterThan(0);
    for (const [i, reader] of all().entries()) {
      await eventually(
        'the change to be on record',
        async () => ((await reader.schema()).history.length > (before[i] ?? 0) ? true : null),
        waitMs,
      );
      const { held, history } = await reader.schema();
      expect(held).toEqual([]);
      expect(history[0]).toMatchObject({ kind: 'column_added', effect: 'recorded', decision: 'policy' });
      expect(history[0]?.reason).toContain('column note (varchar(20)) was added');
      await reader.equal();
    }
  });

  it('by pt-online-schema-change that narrows a column holds one tenant and is adopted by the other, rows of the copy included', async () => {
    for (const reader of all()) await reader.settled();
    const runs = await Promise.all(all().map((reader) => reader.runs()));
    const stop = writer(all());
    await root.query('CREATE TABLE `shop`.`_reviews_new` LIKE `shop`.`reviews`');
    await root.query('ALTER TABLE `shop`.`_reviews_new` MODIFY body VARCHAR(200) NOT NULL');
    await root.query(
      'CREATE TRIGGER `shop`.`pt_osc_shop_reviews_ins` AFTER INSERT ON `shop`.`reviews` FOR EACH ROW REPLACE INTO `shop`.`_reviews_new` (`number`, `body`, `topic`, `shop`) VALUES (NEW.`number`, NEW.`body`, NEW.`topic`, NEW.`shop`)',
    );
    await root.query(
      'INSERT LOW_PRIORITY IGNORE INTO `shop`.`_reviews_new` (`number`, `body`, `topic`, `shop`) SELECT `number`, `body`, `topic`, `shop` FROM `shop`.`reviews` LOCK IN SHARE MODE',
    );
    await root.query('RENAME TABLE `shop`.`reviews` TO `shop`.`_reviews_old`, `shop`.`_reviews_new` TO `shop`.`reviews`');
    await root.query('DROP TABLE IF EXISTS `shop`.`_reviews_old`');
    await stop();
    await hold.held('type_narrowed');
    await fill('hold', 5_000, 5_004);
    await fill('adopt', 5_000, 5_004);
    await adopt.equal();
    expect((await adopt.schema()).held).toEqual([]);
    await eventually(
      'a run by the policy',
      async () =>
        (await adopt.runs()).some(({ number, trigger }) => number > (runs[1]?.length ?? 0) && trigger === 'retrain') ? true : null,
      waitMs,
    );
    // Nothing of the held tenant is trained, a person's force included; its model answers.
    const before = (await hold.runs()).length;
    await hold.api.call('POST', '/v1/customizations/c:retrain', { force: true });
    await sleep(3_000);
    expect((await hold.runs()).length).toBe(before);
    expect((await hold.status()).why).toContain('the run that was asked for waits for that');
    expect((await hold.predict()).outputs[0]?.label).toBe('sport');
    const client = createTemporalClient(stack.config);
    const { typedSearchAttributes } = await client.client.workflow.getHandle('tenant/hold').describe();
    expect(typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value])).toContainEqual(['MwSchema', 'held']);
    await client.close();
  });

  it('that is held is learned when it is approved, with everything that came meanwhile', async () => {
    const decided = await hold.answer({ action: 'approve' });
    expect(decided).toMatchObject({ rebuild: true });
    await hold.equal();
    expect((await hold.schema()).history.find(({ kind }) => kind === 'type_narrowed')).toMatchObject({ decision: 'approve' });
    await expect(hold.answer({ action: 'approve' })).rejects.toMatchObject({ status: 409 });
  });

  it('that renames a mapped column, with writers, is followed under adopt and waits for a mapping under hold', async () => {
    for (const reader of all()) await reader.settled();
    await root.query('ALTER TABLE shop.reviews CHANGE `body` `content` VARCHAR(200) NOT NULL');
    const stop = writer(all(), 'content');
    await hold.held('column_renamed');
    await sleep(1_000);
    await stop();
    await adopt.equal('content');
    expect((await adopt.schema()).mapping.columns).toMatchObject({ text: 'content' });
    await expect(hold.answer({ action: 'approve' })).rejects.toMatchObject({
      status: 409,
      message: expect.stringContaining('no column body'),
    });
    await hold.answer({ action: 'remap', columns: { text: 'content' } });
    await hold.equal('content');
  });

  it('is not lost when the change consumer is killed after every statement', async () => {
    for (const reader of all()) await reader.settled();
    for (let i = 0; i < 3; i++) {
      await eventually(
        'the consumer to run',
        () =>
          Promise.resolve(
            stack.status().processes.some(({ name, state }) => name === 'change-consumer' && state === 'running') ? true : null,
          ),
        waitMs,
      );
      await root.query(`ALTER TABLE shop.reviews ADD COLUMN extra${i} INT NULL`);
      stack.kill('change-consumer', 'SIGKILL');
      await fill('hold', 6_000 + i, 6_001 + i, 'content');
    }
    const added = async (): Promise<number> =>
      (await hold.schema()).history.filter(({ reason }) => /column extra[0-2] \(int\) was added/.test(reason)).length;
    await eventually('all three to be on record', async () => ((await added()) >= 3 ? true : null), waitMs);
    await hold.equal('content');
    expect(await added()).toBe(3);
  });

  it('that drops a mapped column freezes every tenant under any policy, and its return goes on', async () => {
    for (const reader of all()) await reader.settled();
    await root.query('ALTER TABLE shop.reviews ADD COLUMN kept VARCHAR(40) NULL');
    await root.query('UPDATE shop.reviews SET kept = topic');
    await root.query('ALTER TABLE shop.reviews DROP COLUMN topic');
    for (const reader of all()) await reader.held('column_dropped');
    await root.query('ALTER TABLE shop.reviews RENAME COLUMN kept TO topic');
    for (const reader of all()) {
      await eventually('the column to be back', async () => await reader.answer({ action: 'approve' }), waitMs);
      await fill(reader.id, 7_000, 7_003, 'content');
      await reader.equal('content');
      expect((await reader.schema()).held).toEqual([]);
    }
  });

  it('TRUNCATE freezes training with an alarm; the model goes on answering and never learns the emptiness unasked', async () => {
    for (const reader of all()) await reader.settled();
    const runs = (await hold.runs()).length;
    await root.query('TRUNCATE TABLE shop.reviews');
    for (const reader of all()) {
      const { why } = await reader.held('table_truncated');
      expect(why).toContain('the table was truncated');
    }
    await fill('hold', 8_000, 8_090, 'content');
    await sleep(3_000);
    expect((await hold.runs()).length).toBe(runs);
    expect((await hold.predict()).outputs[0]?.label).toBe('sport');
    await expect(hold.answer({ action: 'ignore' })).rejects.toMatchObject({
      status: 409,
      message: expect.stringContaining('rows are gone'),
    });
    await hold.answer({ action: 'approve' });
    await hold.equal('content');
  });

  it('DROP and a table that was renamed away freeze it too, and it goes on when the table is back', async () => {
    await hold.settled();
    await root.query('RENAME TABLE shop.reviews TO shop.elsewhere');
    await hold.held('table_renamed');
    await expect(hold.answer({ action: 'approve' })).rejects.toMatchObject({ message: expect.stringContaining('there is no table') });
    await root.query('RENAME TABLE shop.elsewhere TO shop.reviews');
    await hold.answer({ action: 'approve' });
    await fill('hold', 9_000, 9_003, 'content');
    await hold.equal('content');
    await hold.settled();
    await root.query('DROP TABLE shop.reviews');
    await hold.held('table_dropped');
    expect((await hold.predict()).outputs[0]?.label).toBe('sport');
  });
});

describe('DDL of our own table of examples', () => {
  it('by a stranger: an added column is recorded, a TRUNCATE freezes every customization that keeps its examples here', async () => {
    const tenant = await LiveTenant.make(stack, root, 'managed', policy);
    await tenant.served(await tenant.submit(sentences(0, 90)));
    await root.query('ALTER TABLE modelwright.examples ADD COLUMN stranger INT NULL');
    await root.query('TRUNCATE TABLE modelwright.examples');
    const managed = new Reader(tenant.api, 'managed');
    const base = `/v1/customizations/${tenant.c}`;
    await eventually(
      'the TRUNCATE to be held',
      async () => ((await tenant.api.call<Status>('GET', `${base}/status`)).held?.kind === 'table_truncated' ? true : null),
      waitMs,
    );
    // A TRUNCATE comes with the rows and an ALTER by a topic of its own: either may be first.
    const kinds = async (): Promise<string[]> =>
      (await tenant.api.call<Schema>('GET', `${base}/schema`)).history.map(({ kind }) => kind).sort();
    await expect.poll(kinds, { timeout: waitMs }).toEqual(['column_added', 'table_truncated']);
    expect(await tenant.predict('The referee of the final match')).toMatchObject({ version: 1, outputs: [{ label: 'sport' }] });
    const [dead] = await root.query<(RowDataPacket & { n: string })[]>(
      'SELECT COUNT(*) AS n FROM modelwright_control.model_versions WHERE tenant_id = ?',
      [managed.id],
    );
    expect(Number(dead[0]?.n)).toBe(1);
    const commit = await tenant.submit(sentences(200, 290));
    await tenant.api.call('POST', `${base}:approveSchema`, { action: 'approve' });
    expect(await tenant.served(commit)).toMatchObject({ version: 2 });
    expect(await tenant.latestDatasetRows()).toBe(90);
    await root.query('ALTER TABLE modelwright.examples DROP COLUMN stranger');
  });
});
