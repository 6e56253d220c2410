import { describe, expect, it } from 'vitest';
import {
  sourceConnectorConfig,
  sourceConnectorName,
  sourceTopic,
  sourceTopicPrefix,
  sourceTopics,
} from '../../../infra/debezium/source-connector.ts';
import type { SourceMapping } from '../../../core/source-mapping.ts';
import { plannedCaptures } from './capture-plan.ts';
import type { Mapping } from './mappings.ts';

const mapping = (name: string, filter: SourceMapping['filter'] = null): Mapping => {
  const [database = '', table = ''] = name.split('.');
  const source = { database, table, columns: { id: 'number', text: 'body', label: 'topic' }, filter };
  return { tenantId: 't', customizationId: name, source, digest: '', announced: null, state: null, detail: null };
};
const addresses = {
  mysql: { host: 'db', port: 3306, user: 'mw_app', password: 'app' },
  kafka: { brokers: ['k:1'], topicPrefix: 'mw' },
  connectorUser: { user: 'debezium', password: 'p"w\\d' },
};

describe('what is captured', () => {
  it('is one connector a database, with key, id and filter columns of its mapped tables and none of their texts', () => {
    const mappings = [mapping('shop.b', { column: 'side', equals: 'x' }), mapping('shop.a'), mapping('crm.a'), mapping('shop.b')];
    const captures = plannedCaptures(mappings, (_database, table) => (table === 'b' ? ['tenant', 'number'] : []));
    expect(captures).toEqual([
      { database: 'crm', tables: [{ table: 'a', columns: ['number'] }] },
      {
        database: 'shop',
        tables: [
          { table: 'a', columns: ['number'] },
          { table: 'b', columns: ['number', 'side', 'tenant'] },
        ],
      },
    ]);
    const lists = captures.map((capture) => sourceConnectorConfig(addresses, capture)['column.include.list']);
    expect(lists).toEqual(['crm\\.a\\.number', 'shop\\.a\\.number,shop\\.b\\.number,shop\\.b\\.side,shop\\.b\\.tenant']);
  });

  it('is named in lists of regular expressions that match these names and no others', () => {
    const config = sourceConnectorConfig(addresses, { database: 'a-b', tables: [{ table: 'x.y$', columns: ['n(1)'] }] });
    const matches = (list: string | undefined, name: string): boolean => new RegExp(`^(?:${list ?? ''})$`).test(name);
    expect(matches(config['database.include.list'], 'a-b')).toBe(true);
    expect(matches(config['table.include.list'], 'a-b.x.y$')).toBe(true);
    expect(matches(config['table.include.list'], 'a-b.xzy$')).toBe(false);
    expect(matches(config['column.include.list'], 'a-b.x.y$.n(1)')).toBe(true);
    expect(config['database.password']).toBe('p"w\\d');
  });

  it('never gives two databases one name, topic or server id', () => {
    const names = ['a-b', 'a_b', 'a b', 'a$b', 'a%b'];
    expect(new Set(names.map(sourceConnectorName)).size).toBe(names.length);
    expect(new Set(names.map((name) => sourceTopicPrefix('mw', name))).size).toBe(names.length);
    const ids = names.map((database) => sourceConnectorConfig(addresses, { database, tables: [] })['database.server.id']);
    expect(new Set(ids).size).toBe(names.length);
    for (const name of names) expect(sourceTopic('mw', name, 'täble')).toMatch(/^mw-source-[A-Za-z0-9._-]+$/);
  });

  it('has its topics, each of one partition, made before the connector writes to them', () => {
    expect(sourceTopics('mw', { database: 'shop', tables: [{ table: 'a', columns: [] }] }).map(({ name }) => name)).toEqual([
      'mw-source-shop.shop.a',
      'mw-source-shop',
      '__debezium-heartbeat.mw-source-shop',
      '_schema_history_mw-source-shop',
    ]);
  });
});
