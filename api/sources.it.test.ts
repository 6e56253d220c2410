import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiClient, ApiProblem, createApiClient } from '../cli/api-client.ts';
import type { Page } from '../cli/api-types.ts';
import type { Pool } from '../platform/mysql.ts';
import { projectDir } from '../platform/paths.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { Operator } from '../test/support/mapped-tables.ts';
import { letRead, rootPool } from '../test/support/root-pool.ts';

let stack: TestStack;
let root: Pool;
let operator: Operator;
let acme: ApiClient;
let other: ApiClient;

const problemOf = async (call: Promise<unknown>): Promise<ApiProblem> => {
  const error: unknown = await call.then(
    () => new Error('no problem was answered'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ApiProblem) return error;
  throw error;
};
const grant = (tenant: string, database: string, table: string, filter?: object): Promise<unknown> =>
  operator.api.call('POST', `/v1/tenants/${tenant}/sources`, { database, table, ...(filter ? { filter } : {}) });
const create = (api: ApiClient, id: string, source: object): Promise<object> =>
  api.call('POST', '/v1/customizations', { id, name: id, businessModel: 'text-classification', source });
const columns = { id: 'number', text: 'body', label: 'topic' };

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3'], services: ['api'] });
  root = rootPool(stack);
  operator = new Operator(stack, root);
  acme = await operator.tenant('acme');
  other = await operator.tenant('other');
  await root.query('CREATE DATABASE shop');
  for (const statement of [
    'CREATE TABLE shop.reviews (number BIGINT UNSIGNED PRIMARY KEY, body TEXT, topic VARCHAR(40), extra BLOB, share FLOAT, side VARCHAR(9)) CHARSET utf8mb4',
    'CREATE TABLE shop.keyless (number INT, body TEXT) ENGINE = MyISAM',
    'CREATE TABLE shop.composite (a INT, b INT, side INT NOT NULL, body TEXT, topic TEXT, PRIMARY KEY (a, b), UNIQUE KEY (side, a))',
    'CREATE TABLE shop.floating (id FLOAT PRIMARY KEY, body TEXT)',
    'CREATE VIEW shop.seen AS SELECT * FROM shop.reviews',
  ])
    await root.query(statement);
});
afterAll(async () => {
  await root.end();
  await stack.remove();
});

describe('a grant', () => {
  it('is refused with everything that stands against it, each with its remedy', async () => {
    await root.query("SET GLOBAL binlog_row_image = 'MINIMAL'");
    await root.query("SET GLOBAL binlog_row_metadata = 'MINIMAL'");
    await root.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'debezium'@'%'");
    await letRead(root, 'shop.keyless');
    const { status, code, message } = await problemOf(grant('acme', 'shop', 'keyless', { column: 'absent', equals: 'x' }));
    await root.query("SET GLOBAL binlog_row_image = 'FULL'");
    await root.query("SET GLOBAL binlog_row_metadata = 'FULL'");
    expect([status, code]).toEqual([422, 'source_not_ready']);
    for (const part of [
      '7 things stand against it',
      'binlog_row_image is MINIMAL, it must be FULL',
      'binlog_row_metadata is MINIMAL',
      'SET PERSIST binlog_row_metadata = FULL',
      'ENGINE = InnoDB',
      'no primary key',
      'has no column absent; it has: number, body',
      "GRANT REPLICATION SLAVE, REPLICATION CLIENT, RELOAD ON *.* TO 'debezium'@'%'",
      "GRANT SELECT ON `shop`.`keyless` TO 'debezium'@'%'",
    ])
      expect(message).toContain(part);
    await root.query("GRANT SELECT, RELOAD, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT, LOCK TABLES ON *.* TO 'debezium'@'%'");
  });

  it('needs a table that is there, may be read, and has an id', async () => {
    expect((await problemOf(grant('acme', 'shop', 'reviews'))).message).toContain("GRANT SELECT ON `shop`.`reviews` TO 'mw_app'@'%'");
    await root.query("GRANT SELECT ON shop.* TO 'mw_app'@'%'");
    expect((await problemOf(grant('acme', 'shop', 'absent'))).message).toContain('there is no table shop.absent');
    expect((await problemOf(grant('acme', 'shop', 'seen'))).message).toContain('is a view');
    expect((await problemOf(grant('acme', 'shop', 'floating'))).message).toContain('id is float');
    const composite = (await problemOf(grant('acme', 'shop', 'composite'))).message;
    expect(composite).toContain('an id of several columns is not supported');
    for (const database of ['mysql', 'sys', 'modelwright', 'modelwright_control', 'information_schema', 'performance_schema'])
      expect((await problemOf(grant('acme', database, 'user'))).message).toContain('its tables cannot be granted');
    expect(await problemOf(grant('nobody', 'shop', 'reviews'))).toMatchObject({ status: 404 });
    expect(await problemOf(acme.call('POST', '/v1/tenants/acme/sources', { database: 'shop', table: 'reviews' }))).toMatchObject({
      status: 403,
    });
  });

  it('of rows that another tenant has is refused, by filters of their own it is not', async () => {
    await grant('acme', 'shop', 'reviews', { column: 'side', equals: 'A' });
    expect((await problemOf(grant('other', 'shop', 'reviews'))).message).toContain('tenant acme was granted rows whose side is "A"');
    expect((await problemOf(grant('other', 'shop', 'reviews', { column: 'side', equals: 'A' }))).message).toContain('value of its own');
    await grant('other', 'shop', 'reviews', { column: 'side', equals: 'a' });
    expect(await problemOf(grant('acme', 'shop', 'reviews', { column: 'side', equals: 'A' }))).toMatchObject({
      status: 409,
      code: 'exists',
    });
    // Unique within the filter's value is unique enough.
    await grant('acme', 'shop', 'composite', { column: 'side', equals: '7' });
    expect((await problemOf(grant('other', 'shop', 'composite', { column: 'side', equals: '07' }))).message).toContain(
      'is not a value of side',
    );
  });

  it('is shown to its tenant with columns and what each can be, and to nobody else', async () => {
    type Source = { table: string; filter: object; columns: { name: string; fieldProblem: string | null; idProblem: string | null }[] };
    const { items } = await acme.call<{ items: Source[] }>('GET', '/v1/sources');
    expect(items.map(({ table, filter }) => [table, filter])).toEqual([
      ['composite', { column: 'side', equals: '7' }],
      ['reviews', { column: 'side', equals: 'A' }],
    ]);
    const reviews = items[1]?.columns ?? [];
    expect(reviews.find(({ name }) => name === 'number')).toMatchObject({ fieldProblem: null, idProblem: null });
    expect(reviews.find(({ name }) => name === 'extra')?.fieldProblem).toContain('bytes without a character set');
    expect(reviews.find(({ name }) => name === 'body')?.idProblem).toContain('is text');
    expect(JSON.stringify(await other.call('GET', '/v1/sources'))).not.toContain('"A"');
    expect(await problemOf(other.call('GET', '/v1/tenants/acme/sources'))).toMatchObject({ status: 403 });
  });
});

describe('a mapping', () => {
  const source = { database: 'shop', table: 'reviews', columns };

  it('is refused with every field that does not fit, by pointer', async () => {
    const wrong = await problemOf(
      create(acme, 'w', { ...source, columns: { id: 'body', text: 'extra', colour: 'topic', weight: 'nothing' } }),
    );
    expect([wrong.status, wrong.code]).toEqual([422, 'invalid_source']);
    for (const part of [
      '/source/columns/label: no column is mapped to label',
      '/source/columns/id: body is text',
      '/source/columns/text: extra is blob',
      '/source/columns/colour: is not a field of an example of text-classification; its fields: id, text, label',
      '/source/columns/weight: shop.reviews has no column nothing; it has: number, body',
    ])
      expect(wrong.message).toContain(part);
    expect((await problemOf(create(acme, 'w', { ...source, columns: { ...columns, label: 'share' } }))).message).toContain('no exact text');
    expect((await problemOf(create(acme, 'w', { ...source, filter: { column: 'side', equals: 'a' } }))).message).toContain(
      'only rows whose side is "A" were granted',
    );
    expect((await problemOf(create(acme, 'w', { ...source, columns: { text: 'body', label: 'topic' } }))).message).toContain(
      '/source/columns/id',
    );
  });

  it('of what was not granted is answered alike, whether it exists or not', async () => {
    const secret = await problemOf(create(other, 'w', { database: 'shop', table: 'composite', columns }));
    const absent = await problemOf(create(other, 'w', { database: 'shop', table: 'nowhere', columns }));
    expect(secret.message.replaceAll('composite', 'nowhere')).toBe(absent.message);
  });

  it('carries the filter of the grant, and reads the rows of its value only', async () => {
    await root.query('INSERT INTO shop.reviews (number, body, topic, side) VALUES ?', [
      Array.from({ length: 40 }, (_, i) => [i, `text ${i}`, `t${i % 2}`, i < 20 ? 'A' : 'a']),
    ]);
    await root.query(
      "INSERT INTO shop.reviews (number, body, topic, side) VALUES (18446744073709551615, 'last', 't0', 'A'), (99, NULL, 't0', 'A')",
    );
    expect(await create(acme, 'mine', source)).toMatchObject({ source: { ...source, filter: { column: 'side', equals: 'A' } } });
    expect(await acme.call('GET', '/v1/customizations/mine')).toMatchObject({ capture: { state: 'starting' } });
    await root.query(
      "INSERT INTO modelwright_control.source_capture VALUES ('acme', 'mine', 'shop', '', 'failed', 'table crm.secret is broken', UTC_TIMESTAMP(6))",
    );
    const seen = await acme.call<{ capture: { state: string; detail: string } }>('GET', '/v1/customizations/mine');
    expect([seen.capture.state, seen.capture.detail.includes('secret')]).toEqual(['failed', false]);
    expect(JSON.stringify(await operator.api.call('GET', '/v1/tenants/acme/sources'))).toContain('table crm.secret is broken');
    const ids: string[] = [];
    let cursor = '';
    for (;;) {
      const page = await acme.call<Page<{ id: string; excluded?: string }>>('GET', `/v1/customizations/mine/examples?limit=7${cursor}`);
      ids.push(...page.items.map(({ id }) => id));
      if (page.nextCursor === null) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(ids).toEqual([...Array.from({ length: 20 }, (_, i) => String(i)), '99', '18446744073709551615']);
    expect(await acme.call('GET', '/v1/customizations/mine/examples/18446744073709551615')).toMatchObject({ text: 'last', label: 't0' });
    for (const id of ['25', 'abc', '1.0', '01'])
      expect(await problemOf(acme.call('GET', `/v1/customizations/mine/examples/${id}`))).toMatchObject({ status: 404 });
    expect(await acme.call('GET', '/v1/customizations/mine/readiness')).toMatchObject({
      ready: true,
      labels: [
        { label: 't0', examples: 11, minimum: 8 },
        { label: 't1', examples: 10, minimum: 8 },
      ],
      excluded: 1,
      bucketIndex: expect.stringContaining('CREATE INDEX mw_bucket ON `shop`.`reviews` (`side`, (CAST('),
    });
    const exported = await fetch(`${acme.url}/v1/customizations/mine/examples:export`, {
      headers: { authorization: `Bearer ${(await operator.api.call<{ key: string }>('POST', '/v1/tenants/acme/keys', {})).key}` },
    });
    const lines = (await exported.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: string });
    expect(lines.map(({ id }) => id)).toEqual(ids);
  });

  it('takes no examples, and replaces those of a customization only where it has none', async () => {
    const body = { text: 'x', label: 'y' };
    for (const [method, path] of [
      ['POST', 'examples'],
      ['PUT', 'examples/1'],
      ['PATCH', 'examples/1'],
      ['DELETE', 'examples/1'],
    ] as const)
      expect(await problemOf(acme.call(method, `/v1/customizations/mine/${path}`, method === 'DELETE' ? undefined : body))).toMatchObject({
        status: 409,
        code: 'mapped_source',
      });
    const rows = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(Buffer.from(JSON.stringify(body)));
    };
    expect(await problemOf(acme.upload('/v1/customizations/mine/examples:import', 'application/x-ndjson', rows()))).toMatchObject({
      status: 409,
    });
    await acme.call('POST', '/v1/customizations', { id: 'own', name: 'own', businessModel: 'text-classification' });
    await acme.call('POST', '/v1/customizations/own/examples', body);
    expect(await problemOf(acme.call('PATCH', '/v1/customizations/own', { source }))).toMatchObject({ status: 409, code: 'refused' });
    const changed = await acme.call('PATCH', '/v1/customizations/mine', { source: { ...source, columns: { ...columns, group: 'side' } } });
    expect(changed).toMatchObject({ source: { columns: { group: 'side' }, filter: { equals: 'A' } } });
  });

  it('says what became of a table that its owner changed', async () => {
    await root.query('ALTER TABLE shop.reviews DROP COLUMN topic');
    expect(await problemOf(acme.call('GET', '/v1/customizations/mine/examples'))).toMatchObject({
      status: 409,
      code: 'source_unreadable',
      message: expect.stringContaining('has no column topic any more'),
    });
    await root.query("REVOKE SELECT ON shop.* FROM 'mw_app'@'%'");
    await root.query("REVOKE SELECT ON shop.keyless FROM 'mw_app'@'%'");
    expect(await problemOf(acme.call('GET', '/v1/customizations/mine/readiness'))).toMatchObject({ code: 'source_unreadable' });
  });

  it('keeps its grant; a tenant that is deleted leaves none', async () => {
    expect((await problemOf(operator.api.call('DELETE', '/v1/tenants/acme/sources/shop/reviews'))).message).toContain(
      'is mapped by mine of acme',
    );
    await operator.api.call('DELETE', '/v1/tenants/acme');
    await root.query("GRANT SELECT ON shop.* TO 'mw_app'@'%'");
    await grant('other', 'shop', 'composite', { column: 'side', equals: '7' });
  });
});

describe('mw', () => {
  const run = promisify(execFile);
  const mw = async (key: string, ...args: readonly string[]): Promise<string> => {
    const env = { ...stack.env, MW_URL: operator.api.url, MW_OPERATOR_KEY: stack.config.operatorKey, MW_KEY: key };
    return (await run(process.execPath, ['cli/main.ts', ...args], { env, cwd: projectDir })).stdout;
  };

  it('grants a table, shows it to its tenant, maps it and takes it back', async () => {
    const { key } = await operator.api.call<{ key: string }>('POST', '/v1/tenants', { id: 'third', name: 'third' });
    await root.query('CREATE TABLE shop.third (id INT PRIMARY KEY, body TEXT, topic VARCHAR(9), side VARCHAR(9))');
    expect(await mw(key, 'source', 'list')).toContain('no table was granted');
    expect(await mw(key, 'source', 'grant', 'third', 'shop.third', '--filter', 'side=x=y')).toContain('third may map shop.third');
    expect(await mw(key, 'source', 'list')).toMatch(/shop\.third: side = x=y\n.*\n +id +int +id +field/);
    const made = await mw(key, 'create', 'cli', '--source', 'shop.third', '--column', 'text=body', 'label=topic');
    expect(made).toContain('learns from shop.third');
    await expect(mw(key, 'source', 'revoke', 'third', 'shop.third')).rejects.toThrow('is mapped by cli of third');
    await createApiClient(operator.api.url, key).call('DELETE', '/v1/customizations/cli');
    expect(await mw(key, 'source', 'revoke', 'third', 'shop.third')).toContain('may not map shop.third any more');
    await expect(mw(key, 'create', 'cli', '--source', 'shop.third', '--column', 'text=body')).rejects.toThrow('was not granted');
    await expect(mw(key, 'create', 'cli', '--column', 'text=body')).rejects.toThrow('--column and --filter belong to --source');
  });
});
