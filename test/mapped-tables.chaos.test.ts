import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../cli/api-client.ts';
import type { Page, Predictions, Receipt, Run } from '../cli/api-types.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { createLogger } from '../platform/logger.ts';
import { type Pool, type RowDataPacket, commitGtid } from '../platform/mysql.ts';
import { createKafka } from '../workers/cdc/kafkajs-feed.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';
import { Operator, datasetRows, datasetToEqual } from './support/mapped-tables.ts';
import { rootPool } from './support/root-pool.ts';

let stack: TestStack;
let root: Pool;
let operator: Operator;
/** Few runs while rows keep coming: one training at a time is what a test machine does. */
const policy = { quietPeriodMs: 1_000, maxWaitMs: 15_000 };

/** Binlog readers of the server, by the id of their connection. */
async function binlogReaders(): Promise<Set<string>> {
  const [rows] = await root.query<(RowDataPacket & { Id: string; Command: string })[]>('SHOW PROCESSLIST');
  return new Set(rows.filter(({ Command }) => Command.startsWith('Binlog Dump')).map(({ Id }) => Id));
}

async function fill(table: string, from: number, to: number, side: string | null = null): Promise<void> {
  const rows = sentences(from, to).map(({ text, label }, i) => [from + i, text, label, ...(side === null ? [] : [side])]);
  await root.query(`INSERT INTO ${table} (number, body, topic${side === null ? '' : ', side'}) VALUES ?`, [rows]);
}

const map = (api: ApiClient, c: string, source: object): Promise<unknown> =>
  api.call('POST', '/v1/customizations', { id: c, name: c, businessModel: 'text-classification', policy, source });
const columns = { id: 'number', text: 'body', label: 'topic' };
const select = (table: string, where = 'TRUE'): string =>
  `SELECT CAST(number AS CHAR) AS id, body AS text, topic AS label FROM ${table} WHERE ${where}`;
const captured = (api: ApiClient, c: string): Promise<boolean> =>
  eventually(
    `${c} to be captured`,
    async () => {
      const { capture } = await api.call<{ capture: { state: string; detail: string | null } }>('GET', `/v1/customizations/${c}`);
      if (capture.state === 'capturing') return true;
      throw new Error(`${capture.state}: ${capture.detail}`);
    },
    120_000,
  );
const served = (api: ApiClient, c: string): Promise<Predictions> =>
  eventually(
    `a version of ${c} to serve`,
    () =>
      api.call<Predictions>('POST', `/v1/customizations/${c}:predict`, {
        inputs: [{ text: 'The final match of the league had two goals' }],
      }),
    180_000,
  );

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames });
  root = rootPool(stack);
  operator = new Operator(stack, root);
  await root.query('CREATE DATABASE shop');
  const table = (name: string, more = '') =>
    root.query(`CREATE TABLE ${name} (number BIGINT PRIMARY KEY, body TEXT, topic VARCHAR(40)${more}) CHARSET utf8mb4`);
  await table('shop.stories');
  await table('shop.second');
  await table('shop.shared', ', side VARCHAR(10), KEY (side)');
});
afterAll(async () => {
  await root.end();
  await stack.remove();
});

describe('a mapped table', () => {
  let api: ApiClient;
  let managed: LiveTenant;
  let managedReaders: Set<string>;

  it('becomes a model that answers, with nothing else called', async () => {
    managed = await LiveTenant.make(stack, root, 'managed', policy);
    managedReaders = await binlogReaders();
    expect(managedReaders.size).toBe(1);
    await fill('shop.stories', 0, 120);
    api = await operator.tenant('shop');
    await operator.grant('shop', 'shop.stories');
    await map(api, 'stories', { database: 'shop', table: 'stories', columns });
    expect(await served(api, 'stories')).toMatchObject({ version: 1, outputs: [{ label: 'sport' }] });
    await datasetToEqual(stack, root, { tenantId: 'shop', c: 'stories' }, select('shop.stories'));
    expect(await api.call('GET', '/v1/customizations/stories')).toMatchObject({ capture: { state: 'capturing' } });
  });

  it('is followed exactly: inserts, changes, deletions and changed ids, each commit with its receipt', async () => {
    await fill('shop.stories', 120, 150);
    await root.query("UPDATE shop.stories SET topic = 'cooking' WHERE number IN (3, 6, 9)");
    await root.query('DELETE FROM shop.stories WHERE number IN (1, 4)');
    const [header] = await root.query('UPDATE shop.stories SET number = 9007199254740993 WHERE number = 7');
    const commit = commitGtid(header) ?? '';
    await datasetToEqual(stack, root, { tenantId: 'shop', c: 'stories' }, select('shop.stories'));
    const receipt = await eventually('the receipt', () => api.call<Receipt>('GET', `/v1/receipts/${commit}`), 30_000);
    expect(receipt).toMatchObject({ tables: ['shop.stories'], customizations: ['stories'] });
    expect(receipt.stations.slice(0, 2).every(({ at }) => at !== null)).toBe(true);
    expect(receipt.stations[1]?.detail).toBe('1 inserted, 1 deleted');
    expect(receipt.stations[3]?.at).not.toBeNull();
  });

  it('takes no examples over the API, and shows the rows that it has', async () => {
    const base = '/v1/customizations/stories';
    const refused: readonly (readonly [string, string, unknown?])[] = [
      ['POST', `${base}/examples`, { text: 'x', label: 'y' }],
      ['PUT', `${base}/examples/5`, { text: 'x', label: 'y' }],
      ['DELETE', `${base}/examples/5`],
    ];
    for (const [method, path, body] of refused)
      await expect(api.call(method, path, body)).rejects.toMatchObject({ status: 409, code: 'mapped_source' });
    expect(await api.call('GET', `${base}/examples/5`)).toMatchObject({ id: '5', label: sentences(5, 6)[0]?.label });
    expect((await api.call<Page<{ id: string }>>('GET', `${base}/examples?limit=3`)).items.map(({ id }) => id)).toEqual(['0', '2', '3']);
  });

  it('is joined by a second table while it is changing: nothing is lost, and the other connectors go on undisturbed', async () => {
    const stop = new AbortController();
    let next = 1_000;
    let own = 0;
    const writing = (async () => {
      while (!stop.signal.aborted) {
        await fill('shop.stories', next, next + 3);
        await root.query('DELETE FROM shop.stories WHERE number = ?', [next]);
        await fill('shop.second', next, next + 3);
        await root.query("UPDATE shop.second SET topic = 'changed' WHERE number = ?", [next + 1]);
        next += 3;
        await managed.submit(sentences(own, own + 2));
        own += 2;
        await sleep(30);
      }
    })();
    await fill('shop.second', 0, 100);
    await operator.grant('shop', 'shop.second');
    await map(api, 'second', { database: 'shop', table: 'second', columns });
    await captured(api, 'second');
    // Changes go on for a while after that, and then none follow that could hide a gap.
    await sleep(2_000);
    stop.abort();
    await writing;
    for (const name of ['stories', 'second']) await datasetToEqual(stack, root, { tenantId: 'shop', c: name }, select(`shop.${name}`));
    await eventually(
      'the managed examples to be learned',
      async () => ((await managed.latestDatasetRows()) === own ? true : null),
      120_000,
    );
    // The managed connector reads over the very connection that it had before any table was mapped.
    const now = await binlogReaders();
    expect([...managedReaders].filter((id) => !now.has(id))).toEqual([]);
  });

  it('that two tenants share by a filter gives each its rows, also when rows move, and neither sees the other', async () => {
    const left = await operator.tenant('left');
    const right = await operator.tenant('right');
    await fill('shop.shared', 0, 90, 'L');
    await fill('shop.shared', 200, 290, 'R');
    await operator.grant('left', 'shop.shared', { column: 'side', equals: 'L' });
    await operator.grant('right', 'shop.shared', { column: 'side', equals: 'R' });
    const source = { database: 'shop', table: 'shared', columns };
    await expect(map(left, 'all', { ...source, filter: { column: 'side', equals: 'R' } })).rejects.toMatchObject({
      code: 'invalid_source',
    });
    await Promise.all([map(left, 'mine', source), map(right, 'mine', source)]);
    const both = async (): Promise<void> => {
      await datasetToEqual(stack, root, { tenantId: 'left', c: 'mine' }, select('shop.shared', "side = 'L'"));
      await datasetToEqual(stack, root, { tenantId: 'right', c: 'mine' }, select('shop.shared', "side = 'R'"));
    };
    await both();
    await root.query("UPDATE shop.shared SET side = 'R' WHERE number BETWEEN 10 AND 19");
    await root.query("UPDATE shop.shared SET side = 'nobody' WHERE number BETWEEN 200 AND 204");
    const [header] = await root.query("UPDATE shop.shared SET side = 'L' WHERE number BETWEEN 210 AND 219");
    await both();
    const receipt = await left.call<Receipt>('GET', `/v1/receipts/${commitGtid(header) ?? ''}`);
    expect(receipt.stations[1]?.detail).toBe('10 inserted');
    await expect(left.call('GET', '/v1/customizations/mine/examples/215')).resolves.toMatchObject({ id: '215' });
    await expect(right.call('GET', '/v1/customizations/mine/examples/215')).rejects.toMatchObject({ status: 404 });
  });

  it('leaves no text of its rows in Kafka', async () => {
    const kafka = createKafka(stack.config.kafka.brokers, 'test', createLogger('test', 'error'));
    const admin = kafka.admin();
    await admin.connect();
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith('mw-source-'));
    await admin.disconnect();
    expect(topics).toContain('mw-source-shop.shop.stories');
    const consumer = kafka.consumer({ groupId: 'test-reader' });
    await consumer.connect();
    await consumer.subscribe({ topics, fromBeginning: true });
    const seen: string[] = [];
    await consumer.run({ eachMessage: async ({ message }) => void seen.push(message.value?.toString('utf8') ?? '') });
    await eventually('events', async () => (seen.filter((value) => value.includes('"number"')).length > 100 ? true : null), 30_000);
    await consumer.disconnect();
    expect(seen.filter((value) => /Story number|"body":|cooking/.test(value))).toEqual([]);
  });

  it('is compared as a whole when the mapping is changed', async () => {
    await root.query('ALTER TABLE shop.second ADD COLUMN other VARCHAR(40)');
    await root.query("UPDATE shop.second SET other = CONCAT('other-', MOD(number, 3))");
    await api.call('PATCH', '/v1/customizations/second', {
      source: { database: 'shop', table: 'second', columns: { ...columns, label: 'other' } },
    });
    await datasetToEqual(stack, root, { tenantId: 'shop', c: 'second' }, select('shop.second').replace('topic AS', 'other AS'));
    const labels = [...(await datasetRows(stack, root, 'shop', 'second')).values()].map(({ label }) => label);
    expect([...new Set(labels)].sort()).toEqual(['other-0', 'other-1', 'other-2']);
  });
});

describe('faults', () => {
  it('a table of 200 columns is followed on over a kill -9 of Connect', async () => {
    const api = await operator.tenant('wide');
    const many = Array.from({ length: 196 }, (_, i) => `c${i} ${['INT', 'VARCHAR(30)', 'DECIMAL(12,3)', 'JSON'][i % 4]}`).join(', ');
    await root.query(`CREATE TABLE shop.wide (number BIGINT UNSIGNED PRIMARY KEY, body TEXT, topic VARCHAR(40), ${many}) CHARSET utf8mb4`);
    await fill('shop.wide', 0, 90);
    await operator.grant('wide', 'shop.wide');
    await map(api, 'wide', { database: 'shop', table: 'wide', columns });
    const whose = { tenantId: 'wide', c: 'wide' };
    await captured(api, 'wide');
    await datasetToEqual(stack, root, whose, select('shop.wide'));
    await root.query("UPDATE shop.wide SET c0 = 1, c1 = 'x', topic = 'before' WHERE number < 5");
    stack.kill('connect', 'SIGKILL');
    await fill('shop.wide', 90, 120);
    await root.query('DELETE FROM shop.wide WHERE number BETWEEN 20 AND 29');
    await root.query("UPDATE shop.wide SET number = 18446744073709551615, c3 = '{}' WHERE number = 30");
    await datasetToEqual(stack, root, whose, select('shop.wide'));
    expect((await datasetRows(stack, root, 'wide', 'wide')).get('18446744073709551615')?.text).toBe(sentences(30, 31)[0]?.text);
  });

  it('a binary log that was purged behind a stopped Connect costs a comparison, and no change', async () => {
    const whose = { tenantId: 'shop', c: 'stories' };
    await stack.pause('connect');
    await root.query('DELETE FROM shop.stories WHERE number BETWEEN 40 AND 59');
    await fill('shop.stories', 5_000, 5_010);
    await root.query('FLUSH BINARY LOGS');
    const [logs] = await root.query<(RowDataPacket & { Log_name: string })[]>('SHOW BINARY LOGS');
    await root.query('PURGE BINARY LOGS TO ?', [logs.at(-1)?.Log_name]);
    await stack.resume('connect');
    await datasetToEqual(stack, root, whose, select('shop.stories'));
    // And from then on changes are followed again.
    await fill('shop.stories', 6_000, 6_005);
    await datasetToEqual(stack, root, whose, select('shop.stories'));
    const dataset = await datasetRows(stack, root, 'shop', 'stories');
    expect([dataset.has('45'), dataset.has('5005'), dataset.has('6004')]).toEqual([false, true, true]);
  });

  it('a customization that is deleted takes its connector with it when it was the last of its database', async () => {
    await root.query('CREATE DATABASE fleeting');
    await root.query('CREATE TABLE fleeting.one (number INT PRIMARY KEY, body TEXT, topic VARCHAR(40)) CHARSET utf8mb4');
    await fill('fleeting.one', 0, 90);
    const api = await operator.tenant('fleeting');
    await operator.grant('fleeting', 'fleeting.one');
    await map(api, 'one', { database: 'fleeting', table: 'one', columns });
    // Whatever it was doing about the new connector, its successor goes on.
    stack.kill('change-consumer', 'SIGKILL');
    await captured(api, 'one');
    await fill('fleeting.one', 90, 95);
    await datasetToEqual(stack, root, { tenantId: 'fleeting', c: 'one' }, select('fleeting.one'));
    const connectors = async (): Promise<string[]> => (await (await fetch(`${stack.config.connectUrl}/connectors`)).json()) as string[];
    expect(await connectors()).toContain('modelwright-source-fleeting');
    await expect(operator.api.call('DELETE', '/v1/tenants/fleeting/sources/fleeting/one')).rejects.toMatchObject({ code: 'refused' });
    await api.call('DELETE', '/v1/customizations/one');
    await eventually(
      'the connector to go',
      async () => ((await connectors()).includes('modelwright-source-fleeting') ? null : true),
      60_000,
    );
    await operator.api.call('DELETE', '/v1/tenants/fleeting/sources/fleeting/one');
    expect((await api.call<{ items: Run[] }>('GET', '/v1/sources')).items).toEqual([]);
  });
});
