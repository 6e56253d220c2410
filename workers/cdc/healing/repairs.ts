import { countGtids, parseGtidSet, subtractGtids } from '../../../core/gtid-set.ts';
import { type Connector, type ConnectClient, type ConnectorConfig, hasBegun } from '../../../platform/kafka-connect.ts';
import type { FeedPartition } from '../change-feed.ts';
import { capturedBy, carriedBy, type Scope } from './affected.ts';
import type { Condition } from './condition-book.ts';
import type { ConditionStore } from './condition-store.ts';
import type { Expected, Facts, Memory } from './facts.ts';
import { type KafkaAdmin, type NewTopic, partitionOfTenant } from './kafka-admin.ts';
import { withEpoch } from '../log-epoch.ts';
import { restartFromNow } from './restart-from-now.ts';

export type RepairDeps = {
  readonly connect: ConnectClient;
  readonly kafka: KafkaAdmin;
  readonly store: ConditionStore;
  readonly topicPrefix: string;
  readonly expected: Expected;
  readonly topics: readonly NewTopic[];
  /** Configuration of a connector that must exist; null where it is not known. */
  readonly wanted: (name: string) => ConnectorConfig | null;
  readonly commit: (offsets: readonly (FeedPartition & { readonly offset: string })[]) => Promise<void>;
  /** Runs `work` while nothing else touches the connectors that others keep; false where it cannot. */
  readonly undisturbed: (work: () => Promise<void>) => Promise<boolean>;
  readonly signal: AbortSignal;
};

/** What a repair came to: it must wait for something, or it is done and the changes of `scope` must be looked for. */
export type Repaired =
  | { readonly done: false; readonly action: string }
  | { readonly done: true; readonly action: string; readonly scope: Scope | null };

const done = (action: string, scope: Scope | null = null): Repaired => ({ done: true, action, scope });
const wait = (action: string): Repaired => ({ done: false, action });

/** Repairs what a condition is about, up to the comparison of tables. Key: the condition; every step may be repeated. Throws to be tried again. */
export async function repair(deps: RepairDeps, condition: Condition, facts: Facts, memory: Memory, stillFound: boolean): Promise<Repaired> {
  const { store, topicPrefix, expected } = deps;
  const { code, subject, id } = condition;
  const configs = [...memory.configs.values()];
  if (id === null) return wait('waiting for MySQL');
  const { source, connect, kafka } = facts;
  if (!source.ok) return wait('waiting for MySQL');
  switch (code) {
    case 'binlog_settings_wrong':
      return stillFound ? wait('waiting for the settings') : done('the settings are right again', capturedBy(configs));
    case 'server_changed': {
      const { serverUuid, serverId, executed, log } = source.value;
      // One that does not continue them is found as binlog_reset too: the mark, which proves it, stays until that is healed.
      if (memory.source && countGtids(subtractGtids(parseGtidSet(memory.source.executed), parseGtidSet(executed))) > 0)
        return wait('its GTIDs do not continue those of the old server');
      if (!stillFound) return done('it is known since the log began a new epoch');
      await store.markSource({ serverUuid, serverId, executed, log });
      return done('its GTIDs continue those of the old server');
    }
    case 'binlog_reset': {
      if (!connect.ok) return wait('waiting for Kafka Connect');
      if (!kafka.ok) return wait('waiting for Kafka');
      const epoch = await store.raiseEpoch(id);
      for (const { name } of connect.value) {
        const start = (): Promise<void> => fromNow(deps, name, epoch);
        if (!expected.keptByOthers(name)) await start();
        // In the middle of it, it would be resumed before it has forgotten its position, or be given the epoch of before.
        else if (!(await deps.undisturbed(start))) return wait(`waiting for what keeps connector ${name}`);
      }
      const { serverUuid, serverId, executed, log } = source.value;
      await store.markSource({ serverUuid, serverId, executed, log });
      return done(`epoch ${epoch} of the log began; ${named(connect.value)} read it from its end`, capturedBy(configs));
    }
    case 'binlog_purged':
    case 'connector_position_missing':
    case 'schema_history_missing': {
      if (!kafka.ok) return wait('waiting for Kafka');
      const connector = connect.ok ? connect.value.find(({ name }) => name === subject) : undefined;
      if (!connector) return wait('waiting for Kafka Connect');
      if (expected.keptByOthers(subject))
        return stillFound ? wait('waiting for the watch of mapped tables') : done('it captures again', capturedBy([connector.config]));
      await fromNow(deps, subject, await store.epoch());
      return done(`connector ${subject} reads from the present end of the log`, capturedBy([connector.config]));
    }
    case 'connector_began_anew': {
      const connector = connect.ok ? connect.value.find(({ name }) => name === subject) : undefined;
      if (!connector || !hasBegun(connector)) return wait('waiting for its position');
      return done(`connector ${subject} reads from where the log ended when it began anew`, capturedBy([connector.config]));
    }
    case 'connector_missing':
      return connect.ok && kafka.ok ? await recreate(deps, subject, connect.value, memory) : wait('waiting for Kafka Connect');
    case 'topic_missing': {
      if (!kafka.ok) return wait('waiting for Kafka');
      await createMissing(deps, subject, kafka.value.topics);
      return done(`topic ${subject} was created again`, carriedBy(subject));
    }
    case 'topic_recreated':
    case 'offsets_out_of_range': {
      const topic = kafka.ok ? kafka.value.watched.find(({ name }) => name === subject) : undefined;
      if (!topic) return wait('waiting for Kafka');
      const stuck = topic.partitions.filter(
        ({ committed, low, high, moved }) => moved || committed === null || committed < low || committed > high,
      );
      // Otherwise the same offset would be found again; what the consumer has read meanwhile is above it.
      if (stuck.length > 0) {
        await deps.commit(stuck.map(({ partition, low }) => ({ topic: subject, partition, offset: String(low) })));
        return wait('moving the committed offsets to the oldest event');
      }
      const { partitions } = condition;
      const partitionOf = partitionOfTenant(subject, topic.partitions.length);
      const byTenant = partitions !== undefined && code === 'offsets_out_of_range' && subject.startsWith(`${topicPrefix}.`);
      const tenant = byTenant ? (id: string) => partitions.includes(partitionOf(id)) : undefined;
      return done(`topic ${subject} is read from its oldest event`, carriedBy(subject, tenant));
    }
    case 'snapshot_taken':
      return stillFound ? wait('waiting for the end of the snapshot') : done('the snapshot is over', carriedBy(subject));
    case 'customizations_truncated':
      return done('settings are read again, and what is gone is no longer trained', {
        table: (name) => name === subject,
        tenant: () => true,
      });
    default:
      return done('it went by itself');
  }
}

const named = (connectors: readonly Connector[]): string =>
  `connector${connectors.length === 1 ? '' : 's'} ${connectors.map(({ name }) => name).join(', ')}`;

async function fromNow(deps: RepairDeps, name: string, epoch: number): Promise<void> {
  const { connect, kafka, store, signal } = deps;
  await store.forgetBeginning(name);
  const freshHistory = async (topic: string): Promise<void> => {
    const { topics } = await kafka.facts();
    if (topics.includes(topic)) await kafka.emptyTopic(topic);
    else await createMissing(deps, topic, topics);
  };
  await restartFromNow({ connect, freshHistory, signal }, name, epoch);
}

async function createMissing({ kafka, topics }: RepairDeps, name: string, existing: readonly string[]): Promise<void> {
  if (existing.includes(name)) return;
  const known = topics.find((topic) => topic.name === name);
  await kafka.createTopic(known ?? { name, partitions: 1, config: { 'retention.ms': '-1', 'retention.bytes': '-1' } });
}

/** Kafka Connect keeps the position of a deleted connector: the same name goes on where it was. Without one, what was missed is unknown. */
async function recreate(deps: RepairDeps, name: string, existing: readonly Connector[], memory: Memory): Promise<Repaired> {
  const { connect, store, wanted } = deps;
  const epoch = await store.epoch();
  let connector = existing.find((one) => one.name === name);
  if (!connector) {
    const config = wanted(name) ?? memory.configs.get(name) ?? null;
    if (!config)
      return wait(
        `its configuration is not known: set MW_MYSQL_DEBEZIUM_PASSWORD for the change consumer, or create connector ${name} again by hand`,
      );
    await connect.createStopped(name, withEpoch(config, epoch));
    connector = (await connect.connectors()).find((one) => one.name === name);
    if (!connector) throw new Error(`connector ${name} was created and is not there`);
  }
  const scope = capturedBy([connector.config]);
  if (connector.position === null && memory.positioned.has(name)) {
    await fromNow(deps, name, epoch);
    return done(`connector ${name} was created again; its position was lost, it reads from the present end of the log`, scope);
  }
  await connect.resume(name);
  return done(`connector ${name} was created again and goes on where it was`);
}
