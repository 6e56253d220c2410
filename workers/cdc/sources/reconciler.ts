import {
  type SourceCapture,
  sourceConnectorConfig,
  sourceConnectorName,
  sourceConnectorPrefix,
  sourceTopic,
  sourceTopics,
} from '../../../infra/debezium/source-connector.ts';
import { sleep } from '../../../platform/clock.ts';
import type { Config } from '../../../platform/config.ts';
import { currentEpoch } from '../../../platform/log-epoch.ts';
import type { ConnectClient } from '../../../platform/kafka-connect.ts';
import type { Logger } from '../../../platform/logger.ts';
import type { Pool } from '../../../platform/mysql.ts';
import { readStructure } from '../../../sources/table-structure.ts';
import { forgetBeginning } from '../healing/condition-store.ts';
import { withEpoch } from '../log-epoch.ts';
import { plannedCaptures } from './capture-plan.ts';
import { type ConnectorProgress, connectorSteps } from './connector-steps.ts';
import { type KnownMappings, type Mapping, dropUnmapped, forgetCapture, recordCapture } from './mappings.ts';
import { aloneWithSources } from './sources-lock.ts';

/** Between two looks: when nothing is on its way, or something has failed; and while a connector starts. */
const restMs = 5_000;
const startingMs = 500;

export type ReconcilerDeps = {
  readonly config: Pick<Config, 'mysql' | 'kafka' | 'connectorUser'>;
  readonly pool: Pool;
  readonly mappings: KnownMappings;
  readonly connect: ConnectClient;
  /** Creates those that are missing, and says which that were. */
  readonly createTopics: (topics: ReturnType<typeof sourceTopics>) => Promise<readonly string[]>;
  /** Topics of mapped tables that the feed must read besides the managed ones. */
  readonly setTopics: (topics: readonly string[]) => Promise<void>;
  /** Tells the workflow that everything of the customization must be compared. */
  readonly announce: (mapping: Mapping) => Promise<void>;
  /** What is mapped, for the metrics. */
  readonly observe: (mappings: readonly Mapping[]) => void;
  readonly logger: Logger;
  readonly signal: AbortSignal;
};

/**
 * Keeps one connector for each database with mapped tables. A mapping that is new or changed is announced when its capture is certain: what was
 * committed before the comparison that follows is in the table, and what is committed after it comes by the log.
 */
export function createReconciler(deps: ReconcilerDeps) {
  const { config, pool, mappings, connect, logger, signal } = deps;
  const steps = connectorSteps(connect);
  const primaryKeys = new Map<string, readonly string[]>();
  let topics = '';
  let told = '';
  let woken = true;
  let wakeUp: () => void = () => undefined;

  /** A table that is gone for a moment keeps the key that it had: its connector is not disturbed. */
  async function learnPrimaryKeys(known: readonly Mapping[]): Promise<void> {
    for (const { database, table } of new Map(known.map(({ source }) => [`${source.database}.${source.table}`, source])).values()) {
      const structure = await readStructure(pool, database, table);
      if (structure) primaryKeys.set(`${database}.${table}`, structure.primaryKey);
    }
  }

  async function settle(known: readonly Mapping[], database: string, progress: ConnectorProgress): Promise<void> {
    for (const mapping of known.filter(({ source }) => source.database === database)) {
      const { state, detail } = progress;
      if (state === 'capturing' && mapping.announced !== mapping.digest) {
        await deps.announce(mapping);
        await recordCapture(pool, mapping, state, null, mapping.digest);
        logger.info({ tenantId: mapping.tenantId, customizationId: mapping.customizationId, database }, 'a mapped table is captured');
      } else if (mapping.state !== state || mapping.detail !== detail) await recordCapture(pool, mapping, state, detail, null);
    }
  }

  /** One look at everything: how long to rest after it. */
  async function reconcile(): Promise<number> {
    const known = await mappings.refresh();
    const { connectorUser } = config;
    if (!connectorUser) {
      const detail = 'MW_MYSQL_DEBEZIUM_PASSWORD is not set for the change consumer: mapped tables are not captured';
      for (const mapping of known) if (mapping.detail !== detail) await recordCapture(pool, mapping, 'failed', detail, null);
      return restMs;
    }
    await learnPrimaryKeys(known);
    const captures = plannedCaptures(known, (database, table) => primaryKeys.get(`${database}.${table}`) ?? []);
    const wanted = captures.flatMap(({ database, tables }) =>
      tables.map(({ table }) => sourceTopic(config.kafka.topicPrefix, database, table)),
    );
    // Before a connector writes to them, and before they are read.
    const created = new Set(await deps.createTopics(captures.flatMap((capture) => sourceTopics(config.kafka.topicPrefix, capture))));
    if (topics !== wanted.join(',')) {
      await deps.setTopics(wanted);
      topics = wanted.join(',');
    }
    // One that somebody deleted may have had events that nobody has read.
    const lost = captures.filter(({ database, tables }) =>
      tables.some(
        ({ table }) =>
          created.has(sourceTopic(config.kafka.topicPrefix, database, table)) &&
          known.some(({ source, announced }) => source.database === database && source.table === table && announced !== null),
      ),
    );
    for (const { database } of lost) await forgetCapture(pool, database);
    const current = lost.length > 0 ? await mappings.refresh() : known;
    deps.observe(current);
    let onItsWay = false;
    await aloneWithSources(pool, 0, async () => void (onItsWay = await lookAfter(current, captures, connectorUser)));
    return onItsWay ? startingMs : restMs;
  }

  /** One step of every connector; whether one of them is on its way. */
  async function lookAfter(
    known: readonly Mapping[],
    captures: readonly SourceCapture[],
    connectorUser: NonNullable<Config['connectorUser']>,
  ): Promise<boolean> {
    const existing = await connect.connectors();
    const epoch = await currentEpoch(pool);
    let onItsWay = false;
    for (const capture of captures) {
      const { database } = capture;
      const name = sourceConnectorName(database);
      const progress = await steps
        .step({
          name,
          connector: existing.find((one) => one.name === name),
          config: withEpoch(sourceConnectorConfig({ ...config, connectorUser }, capture), epoch),
          forget: async () => {
            await forgetCapture(pool, database);
            await forgetBeginning(pool, name);
          },
        })
        .catch((error: unknown): ConnectorProgress => {
          logger.warn({ err: error, database }, 'the connector of mapped tables could not be looked after: trying again');
          return { state: 'starting', detail: 'Kafka Connect does not answer' };
        });
      onItsWay ||= progress.state === 'starting';
      await settle(known, database, progress);
    }
    const names = new Set(captures.map(({ database }) => sourceConnectorName(database)));
    for (const connector of existing)
      if (connector.name.startsWith(sourceConnectorPrefix) && !names.has(connector.name)) {
        onItsWay = true;
        await forgetBeginning(pool, connector.name);
        await steps.remove(connector);
      }
    await dropUnmapped(pool);
    return onItsWay;
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      woken = false;
      let ms = restMs;
      try {
        ms = await reconcile();
        told = '';
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        if (!signal.aborted && message !== told) logger.warn({ err: error }, 'mapped tables could not be looked after: trying again');
        told = message;
      }
      if (woken) continue;
      const rest = new AbortController();
      wakeUp = () => rest.abort();
      await sleep(ms, undefined, { signal: AbortSignal.any([signal, rest.signal]) }).catch(() => undefined);
    }
  }

  let running: Promise<void> = Promise.resolve();
  return {
    start(): void {
      running = run();
    },
    /** A customization was changed: looks at once. */
    wake(): void {
      woken = true;
      wakeUp();
    },
    stop: () => running,
  };
}
