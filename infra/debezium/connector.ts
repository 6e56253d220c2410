import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { awaitConnector } from '../../platform/await-connector.ts';
import type { Config } from '../../platform/config.ts';
import { type ConnectClient, type Connector, type ConnectorConfig, hasBegun, isRunning, sameConfig } from '../../platform/kafka-connect.ts';
import { fillTemplate } from './topics.ts';

export const connectorName = 'modelwright';
const readyDeadlineMs = 120_000;

export type ConnectorState = { readonly state: 'missing' | 'running' | 'starting' | 'failed'; readonly detail: string };

/** The connector's configuration with the addresses and the password of this installation. */
export function connectorConfig(config: Config, debeziumPassword: string): Record<string, string> {
  const text = readFileSync(join(import.meta.dirname, 'connector.json'), 'utf8');
  const filled = fillTemplate(text, {
    MYSQL_HOST: config.mysql.host,
    MYSQL_PORT: String(config.mysql.port),
    MYSQL_DEBEZIUM_PASSWORD: debeziumPassword,
    TOPIC_PREFIX: config.kafka.topicPrefix,
    KAFKA_BROKERS: config.kafka.brokers.join(','),
  });
  return z.record(z.string(), z.string()).parse(JSON.parse(filled));
}

/** Transforms that are there stay: after a reset of the log every event is marked by one. */
function withKeptTransforms(wanted: ConnectorConfig, connector: Connector | undefined): ConnectorConfig {
  const kept = Object.entries(connector?.config ?? {}).filter(([key]) => key.startsWith('transforms'));
  return { ...wanted, ...Object.fromEntries(kept) };
}

/**
 * Registers the connector at a Kafka Connect that may have just started: it answers before it can do everything. Returns when the connector has
 * read the structure of its tables and knows its position, however often it was called or cut off before: from then on no change is missed.
 * One that has its position may be ill, which the change consumer sees and heals; one that a person stopped waits for that person.
 */
export async function registerConnector(connect: ConnectClient, wanted: ConnectorConfig, signal: AbortSignal): Promise<void> {
  await awaitConnector(connect, connectorName, { deadlineMs: readyDeadlineMs, signal }, async (connector) => {
    const config = withKeptTransforms(wanted, connector);
    if (!connector || !sameConfig(connector.config, config)) {
      await connect.putConfig(connectorName, config);
      return 'has not taken its configuration';
    }
    if (hasBegun(connector) || connector.state === 'STOPPED' || connector.state === 'PAUSED') return null;
    // Debezium takes no lost connection for one that comes back (debezium/dbz#2611).
    if (connector.failures.length > 0) await connect.restartFailed(connectorName);
    return connector.failures.length > 0 ? `fails: ${connector.failures[0]}` : 'has not read the structure of its tables';
  });
}

export async function connectorState(connect: ConnectClient): Promise<ConnectorState> {
  const connector = (await connect.connectors()).find(({ name }) => name === connectorName);
  if (!connector) return { state: 'missing', detail: 'not registered' };
  const { state, failures } = connector;
  if (failures.length > 0) return { state: 'failed', detail: failures[0] ?? '' };
  return isRunning(connector) ? { state: 'running', detail: state } : { state: 'starting', detail: state };
}
