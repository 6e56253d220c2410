import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../cli/api-client.ts';
import type { Receipt } from '../cli/api-types.ts';
import { engineNames, serviceNames } from '../core/process-names.ts';
import { type Pool, commitGtid } from '../platform/mysql.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { LiveTenant, eventually, sentences } from './support/live-tenant.ts';
import { Operator, datasetToEqual } from './support/mapped-tables.ts';
import { rootPool } from './support/root-pool.ts';
import { SensingFaults } from './support/sensing-faults.ts';
import { StallingProxy } from './support/stalling-proxy.ts';
import { datasetToEqualTable } from './support/table-equals-dataset.ts';

/** Faults of what connectors know: where they are, what tables look like, that they move. In the end the datasets hold what a SELECT sees. */
const detectedWithinMs = 30_000;
const policy = { quietPeriodMs: 500 };
const shop = 'modelwright-source-shop';
const ofShop = { tenantId: 'shop', c: 'stories' };
const select = 'SELECT CAST(number AS CHAR) AS id, body AS text, topic AS label FROM shop.stories';

let stack: TestStack;
let root: Pool;
let faults: SensingFaults;
let managed: LiveTenant;
let mapped: ApiClient;
let proxy: StallingProxy;
let made = 60;

beforeAll(async () => {
  stack = await startTestStack({ engines: engineNames, services: serviceNames });
  root = rootPool(stack);
  faults = new SensingFaults(stack, root);
  proxy = await StallingProxy.to(stack.config.mysql.port);
  managed = await LiveTenant.make(stack, root, 'managed', policy);
  await managed.submit(sentences(0, 60));
  await root.query('CREATE DATABASE shop');
  await root.query('CREATE TABLE shop.stories (number BIGINT PRIMARY KEY, body TEXT, topic VARCHAR(40)) CHARSET utf8mb4');
  await fill(0, 60);
  const operator = new Operator(stack, root);
  mapped = await operator.tenant('shop');
  await operator.grant('shop', 'shop.stories');
  const source = { database: 'shop', table: 'stories', columns: { id: 'number', text: 'body', label: 'topic' } };
  await mapped.call('POST', '/v1/customizations', { id: 'stories', name: 'stories', businessModel: 'text-classification', policy, source });
  await datasetToEqualTable(stack, root, managed);
  await datasetToEqual(stack, root, ofShop, select);
});
afterAll(async () => {
  await proxy.stop();
  await root.end();
  await stack.remove();
});
afterEach(async () => await faults.calm());

async function fill(from: number, to: number): Promise<void> {
  const rows = sentences(from, to).map(({ text, label }, i) => [from + i, text, label]);
  await root.query('INSERT INTO shop.stories (number, body, topic) VALUES ?', [rows]);
}

/** Inserts, an update and deletions in both tables, each in commits of their own; the last commit of the mapped one. */
async function changeBoth(): Promise<string> {
  const from = made;
  made += 4;
  await managed.submit([...sentences(from, made), { ...sentences(from - 1, from)[0], text: `Edited when ${made} rows had been made.` }]);
  await managed.api.call('DELETE', `/v1/customizations/${managed.c}/examples/s${from - 2}`);
  await fill(from, made);
  await root.query('UPDATE shop.stories SET body = ? WHERE number = ?', [`Edited when ${made} rows had been made.`, from - 1]);
  const [header] = await root.query('DELETE FROM shop.stories WHERE number = ?', [from - 2]);
  return commitGtid(header) ?? '';
}

const bothEqual = async (): Promise<void> => {
  await datasetToEqualTable(stack, root, managed);
  await datasetToEqual(stack, root, ofShop, select);
};

/** The log is read again, which no comparison could do, and what it did not tell of is known as well. */
async function followedAgain(): Promise<void> {
  await faults.calm();
  const sensed = ({ stations }: Receipt): boolean => typeof stations[1]?.at === 'string';
  // Commits from before the connector began anew are learned by comparison, and never sensed: so a new one each time.
  await eventually(
    'commits of both tables to be sensed',
    async () => {
      const commit = await changeBoth();
      const managedCommit = await managed.submit([{ ...sentences(made - 1, made)[0], text: `Edited last of ${made} rows.` }]);
      await sleep(3_000);
      return sensed(await mapped.call<Receipt>('GET', `/v1/receipts/${commit}`)) && sensed(await managed.receipt(managedCommit))
        ? true
        : null;
    },
    90_000,
  );
  await bothEqual();
}

describe('a connector', () => {
  it('whose position was deleted starts at the end of the log, and what it missed is compared', async () => {
    await faults.connectorDown();
    await changeBoth();
    const sinceMs = Date.now();
    await faults.connect.deleteOffsets('modelwright');
    const { detectedMs, action } = await faults.healed('connector_position_missing', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    expect(action).toContain('2 tenants told to compare');
    await followedAgain();
  });

  it.each(['modelwright', shop])(
    '%s, begun anew before anybody saw that its position was deleted, is found out all the same',
    async (name) => {
      await faults.connectorDown(name);
      await changeBoth();
      const sinceMs = Date.now();
      await faults.connect.deleteOffsets(name);
      await faults.connect.resume(name);
      const { detectedMs, subject } = await faults.healed('connector_began_anew', sinceMs);
      expect([subject, detectedMs - sinceMs < detectedWithinMs]).toEqual([name, true]);
      await followedAgain();
      const found = (await faults.conditions()).filter((one) => one.detectedMs >= sinceMs && one.code !== 'connector_stopped');
      expect(found.map(({ code }) => code)).toEqual(['connector_began_anew']);
    },
  );

  it('whose connection to MySQL is dead without being closed is found standing and restarted', async () => {
    const { config } = (await faults.connect.connectors()).find(({ name }) => name === 'modelwright') ?? { config: {} };
    await faults.connect.putConfig('modelwright', { ...config, 'database.hostname': '127.0.0.1', 'database.port': String(proxy.port) });
    await followedAgain();
    const sinceMs = Date.now();
    proxy.goSilent();
    await changeBoth();
    const stalled = await eventually(
      'the standstill to be named',
      async () => (await faults.conditions()).find((one) => one.code === 'connector_stalled' && one.detectedMs >= sinceMs) ?? null,
      60_000,
    );
    expect(stalled.subject).toBe('modelwright');
    expect(stalled.detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    proxy.letNewThrough();
    await faults.healed('connector_stalled', sinceMs);
    await followedAgain();
    await faults.connect.putConfig('modelwright', config);
  });
});

describe('a connector of mapped tables', () => {
  it('that lost its history of structures begins anew, and what it missed is compared', async () => {
    await faults.withAdmin(async (admin) => await admin.deleteTopics({ topics: [`_schema_history_${faults.prefix}-source-shop`] }));
    await faults.connect.restart(shop);
    await changeBoth();
    await followedAgain();
    const [topic] = await faults.withAdmin(async (admin) => await admin.fetchTopicOffsets(`_schema_history_${faults.prefix}-source-shop`));
    expect(Number(topic?.high)).toBeGreaterThan(0);
  });

  it('whose change topic was deleted has it again, and what it held is compared', async () => {
    const topic = `${faults.prefix}-source-shop.shop.stories`;
    await stack.pause('change-consumer');
    await changeBoth();
    await faults.withAdmin(async (admin) => {
      await eventually(
        'the changes to be in the topic',
        async () => ((await admin.fetchTopicOffsets(topic)).some(({ low, high }) => Number(high) - Number(low) > 3) ? true : null),
        30_000,
      );
      await admin.deleteTopics({ topics: [topic] });
    });
    await stack.resume('change-consumer');
    await followedAgain();
    const [again] = await faults.withAdmin(async (admin) => await admin.fetchTopicOffsets(topic));
    expect([Number(again?.low), Number(again?.high) > 0]).toEqual([0, true]);
  });

  it('goes into the new epoch of a log that was reset: no later commit is taken for an old one', async () => {
    const sinceMs = Date.now();
    await root.query('RESET BINARY LOGS AND GTIDS');
    await changeBoth();
    const { detectedMs, action } = await faults.healed('binlog_reset', sinceMs);
    expect(detectedMs - sinceMs).toBeLessThan(detectedWithinMs);
    expect(action).toContain(shop);
    await faults.calm();
    const commit = await changeBoth();
    const receipt = await eventually(
      'the receipt of a commit of the new epoch',
      async () => {
        const now = await mapped.call<Receipt>('GET', `/v1/receipts/${commit}`);
        return now.stations[3]?.at ? now : null;
      },
      90_000,
    );
    expect(Date.parse(receipt.stations[3]?.at ?? '')).toBeGreaterThan(sinceMs);
    const configs = (await faults.connect.connectors()).map(({ config }) => config['transforms.mwEpoch.value.literal']);
    expect(configs).toEqual(['1', '1']);
    await bothEqual();
  });
});
