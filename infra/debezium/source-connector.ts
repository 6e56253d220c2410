import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { fillTemplate } from './topics.ts';

/** What the connector of one database captures: of each table the columns that tell rows apart and pick them, never their texts. */
export type SourceCapture = {
  readonly database: string;
  readonly tables: readonly { readonly table: string; readonly columns: readonly string[] }[];
};

export const sourceConnectorPrefix = 'modelwright-source-';

/** Names of topics and connectors have few characters; a name that loses some gets a digest, so that two never become one. */
function plainName(name: string): string {
  const plain = name.replaceAll(/[^A-Za-z0-9_-]/g, '_');
  return plain === name ? name : `${plain}-${sha256Hex(name).slice(0, 8)}`;
}

export const sourceConnectorName = (database: string): string => `${sourceConnectorPrefix}${plainName(database)}`;
export const sourceTopicPrefix = (topicPrefix: string, database: string): string => `${topicPrefix}-source-${plainName(database)}`;

/** Topics that tell of the structures of mapped databases: each is named by its connector's prefix. */
export const sourceSchemaTopics = (topicPrefix: string): RegExp => new RegExp(`^${topicPrefix}-source-[A-Za-z0-9_-]+$`);

/** As Debezium names it: what a topic's name cannot hold becomes an underscore. */
export const sourceTopic = (topicPrefix: string, database: string, table: string): string =>
  `${sourceTopicPrefix(topicPrefix, database)}.${database}.${table}`.replaceAll(/[^A-Za-z0-9._-]/g, '_');

const weekMs = 604_800_000;
const hourMs = 3_600_000;

/** Every topic that the connector writes to, with its settings: one partition each, which keeps a table's changes in order. */
export function sourceTopics(topicPrefix: string, { database, tables }: SourceCapture) {
  const prefix = sourceTopicPrefix(topicPrefix, database);
  return [
    ...tables.map(({ table }) => ({ name: sourceTopic(topicPrefix, database, table), config: { 'retention.ms': String(weekMs) } })),
    { name: prefix, config: { 'retention.ms': '-1' } },
    { name: `__debezium-heartbeat.${prefix}`, config: { 'retention.ms': String(hourMs) } },
    { name: `_schema_history_${prefix}`, config: { 'retention.ms': '-1', 'retention.bytes': '-1' } },
  ];
}

/** Lists in the configuration are regular expressions. */
const literal = (name: string): string => name.replaceAll(/[\\^$.|?*+()[\]{}-]/g, '\\$&');

/** Each connector is a replica of its own to the server; the managed one has 184054. */
const serverIdOf = (prefix: string): number => 200_000_000 + (parseInt(sha256Hex(prefix).slice(0, 8), 16) % 1_000_000_000);

type Addresses = Pick<Config, 'mysql' | 'kafka'> & { readonly connectorUser: NonNullable<Config['connectorUser']> };

export function sourceConnectorConfig(config: Addresses, { database, tables }: SourceCapture): Record<string, string> {
  const prefix = sourceTopicPrefix(config.kafka.topicPrefix, database);
  const values = {
    MYSQL_HOST: config.mysql.host,
    MYSQL_PORT: String(config.mysql.port),
    MYSQL_DEBEZIUM_USER: config.connectorUser.user,
    MYSQL_DEBEZIUM_PASSWORD: config.connectorUser.password,
    SERVER_ID: String(serverIdOf(prefix)),
    TOPIC_PREFIX: prefix,
    KAFKA_BROKERS: config.kafka.brokers.join(','),
    DATABASE: literal(database),
    TABLES: tables.map(({ table }) => `${literal(database)}\\.${literal(table)}`).join(','),
    COLUMNS: tables
      .flatMap(({ table, columns }) => columns.map((column) => `${literal(database)}\\.${literal(table)}\\.${literal(column)}`))
      .join(','),
  };
  const text = readFileSync(join(import.meta.dirname, 'source-connector.json'), 'utf8');
  const template = z.record(z.string(), z.string()).parse(JSON.parse(text));
  return Object.fromEntries(Object.entries(template).map(([key, value]) => [key, fillTemplate(value, values)]));
}
