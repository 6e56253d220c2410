import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../../core/json.ts';
import { sleep } from '../../platform/clock.ts';
import type { Config } from '../../platform/config.ts';
import { fillTemplate } from './topics.ts';

export const connectorName = 'modelwright';
/** A configuration is checked against MySQL and Kafka before it is taken: on a busy machine that is not done in a moment. */
const requestTimeoutMs = 30_000;
const pollMs = 300;
const badRequest = 400;
const readyDeadlineMs = 120_000;

const statusSchema = z.looseObject({
  connector: z.looseObject({ state: z.string(), trace: z.string().optional() }),
  tasks: z.array(z.looseObject({ id: z.number(), state: z.string(), trace: z.string().optional() })),
});
const offsetsSchema = z.looseObject({
  offsets: z.array(z.looseObject({ offset: z.looseObject({ snapshot: z.unknown().optional() }).nullable() })),
});

export type ConnectorState = { readonly state: 'missing' | 'running' | 'starting' | 'failed'; readonly detail: string };

async function request(url: string, init: RequestInit = {}): Promise<Response> {
  return await fetch(url, { ...init, signal: AbortSignal.timeout(requestTimeoutMs) });
}

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

/**
 * Creates or updates the connector and tells whether it is new. Repeating it changes nothing. Transforms that are there stay: after a reset of
 * the log every event is marked by one.
 */
async function putConnector(connectUrl: string, wanted: Record<string, string>): Promise<boolean> {
  const url = `${connectUrl}/connectors/${connectorName}/config`;
  const found = await request(url);
  const { name: _, ...before } = found.ok ? z.record(z.string(), z.string()).parse(await found.json()) : {};
  const kept = Object.fromEntries(Object.entries(before).filter(([key]) => key.startsWith('transforms')));
  const config = { ...wanted, ...kept };
  if (canonicalJson(before) === canonicalJson(config)) return false;
  const response = await request(url, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(config),
  });
  if (response.ok) return !found.ok;
  const refusal = `Kafka Connect refused the connector with status ${response.status}: see the log of \`connect\``;
  throw response.status === badRequest ? new ConnectorRefused(refusal) : new Error(refusal);
}

/** The configuration is wrong: asking again changes nothing. */
class ConnectorRefused extends Error {
  override name = 'ConnectorRefused';
}

/** Registers the connector at a Kafka Connect that has just started: it answers before it can do everything. A new one has begun to read then. */
export async function registerConnector(connectUrl: string, wanted: Record<string, string>, signal: AbortSignal): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(readyDeadlineMs)]);
  for (;;) {
    try {
      if (await putConnector(connectUrl, wanted)) await waitForConnector(connectUrl, signal);
      return;
    } catch (error) {
      if (error instanceof ConnectorRefused || deadline.aborted) throw error;
    }
    await sleep(pollMs, undefined, { signal: deadline }).catch(() => undefined);
  }
}

export async function connectorState(connectUrl: string): Promise<ConnectorState> {
  const response = await request(`${connectUrl}/connectors/${connectorName}/status`);
  if (response.status === 404) return { state: 'missing', detail: 'not registered' };
  if (!response.ok) return { state: 'starting', detail: `Kafka Connect answers ${response.status}` };
  const { connector, tasks } = statusSchema.parse(await response.json());
  const failed = tasks.find(({ state }) => state === 'FAILED');
  if (connector.state === 'FAILED' || failed)
    return { state: 'failed', detail: (failed?.trace ?? connector.trace ?? 'the connector failed').split('\n')[0] ?? '' };
  if (connector.state === 'RUNNING' && tasks.length > 0 && tasks.every(({ state }) => state === 'RUNNING'))
    return { state: 'running', detail: 'RUNNING' };
  return { state: 'starting', detail: connector.state };
}

/** Restarts failed tasks: Debezium treats no lost connection as retriable (debezium/dbz#2611). */
export async function restartFailedTasks(connectUrl: string): Promise<void> {
  await request(`${connectUrl}/connectors/${connectorName}/restart?includeTasks=true&onlyFailed=true`, { method: 'POST' });
}

/** Waits until the connector runs and its first snapshot is complete: from then on it reads the binlog. */
async function waitForConnector(connectUrl: string, signal: AbortSignal): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(readyDeadlineMs)]);
  let last = 'no answer';
  for (;;) {
    if (deadline.aborted) throw new Error(`the connector is not running after ${readyDeadlineMs / 1000} s: ${last}`);
    try {
      const { state, detail } = await connectorState(connectUrl);
      last = detail;
      if (state === 'failed') await restartFailedTasks(connectUrl);
      if (state === 'running') {
        const response = await request(`${connectUrl}/connectors/${connectorName}/offsets`);
        const { offsets } = offsetsSchema.parse(await response.json());
        const done = offsets.length > 0 && offsets.every(({ offset }) => offset !== null && !offset.snapshot);
        if (done) return;
        last = 'the first snapshot is not complete';
      }
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await sleep(pollMs, undefined, { signal: deadline }).catch(() => undefined);
  }
}
