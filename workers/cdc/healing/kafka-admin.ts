import kafkajs, { type Admin } from 'kafkajs';
import type { KafkaFacts, PartitionFacts, TopicFacts } from './facts.ts';

const { Kafka, Partitioners, logLevel } = kafkajs;

export type NewTopic = { readonly name: string; readonly partitions: number; readonly config: Readonly<Record<string, string>> };

/** What the watch asks of the brokers. A call that fails is repeated by the next look, with a new connection. */
export type KafkaAdmin = {
  readonly facts: () => Promise<KafkaFacts>;
  readonly createTopic: (topic: NewTopic) => Promise<void>;
  /** Removes every record of partition 0. */
  readonly emptyTopic: (topic: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

export function kafkaAdmin(options: {
  readonly brokers: readonly string[];
  readonly groupId: string;
  /** Topics that matter besides those that the group has read. */
  readonly others: (existing: readonly string[]) => readonly string[];
}): KafkaAdmin {
  const { groupId, others } = options;
  // The watch asks again in two seconds: waiting inside the client would only hide how long an engine is away.
  const kafka = new Kafka({
    clientId: 'modelwright-watch',
    brokers: [...options.brokers],
    connectionTimeout: 2_000,
    requestTimeout: 5_000,
    retry: { initialRetryTime: 200, retries: 2 },
    logLevel: logLevel.NOTHING,
  });
  let admin: Admin | null = null;
  async function withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    try {
      if (!admin) {
        admin = kafka.admin();
        await admin.connect();
      }
      return await work(admin);
    } catch (error) {
      await admin?.disconnect().catch(() => undefined);
      admin = null;
      throw error;
    }
  }

  async function topicFacts(client: Admin, name: string, committed: ReadonlyMap<number, number>): Promise<TopicFacts> {
    const partitions = (await client.fetchTopicOffsets(name)).map(({ partition, low, high }): PartitionFacts => {
      const offset = committed.get(partition) ?? -1;
      return { partition, low: Number(low), high: Number(high), committed: offset >= 0 ? offset : null, moved: offset === movedToOldest };
    });
    return { name, partitions };
  }

  return {
    facts: () =>
      withAdmin(async (client) => {
        const topics = await client.listTopics();
        const offsets = await client.fetchOffsets({ groupId });
        const names = new Set([...offsets.map(({ topic }) => topic), ...others(topics)]);
        const watched: TopicFacts[] = [];
        for (const name of [...names].filter((one) => topics.includes(one))) {
          const committed = offsets.find(({ topic }) => topic === name)?.partitions ?? [];
          watched.push(await topicFacts(client, name, new Map(committed.map(({ partition, offset }) => [partition, Number(offset)]))));
        }
        return { topics, watched };
      }),
    createTopic: ({ name, partitions, config }) =>
      withAdmin(async (client) => {
        const configEntries = Object.entries(config).map(([key, value]) => ({ name: key, value }));
        await client.createTopics({
          // -1: as many replicas as the brokers give by default.
          topics: [{ topic: name, numPartitions: partitions, replicationFactor: -1, configEntries }],
          waitForLeaders: true,
        });
      }),
    emptyTopic: (topic) =>
      withAdmin(async (client) => {
        // Loads the metadata that deleteTopicRecords takes for granted.
        const [first] = await client.fetchTopicOffsets(topic);
        if (!first || first.low === first.high) return;
        await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: first.high }] });
      }),
    async stop() {
      await admin?.disconnect().catch(() => undefined);
    },
  };
}

/** What kafkajs commits when its own offset is out of range. */
const movedToOldest = -2;

/** The partition that a connector's producer puts a tenant's changes into. */
export function partitionOfTenant(topic: string, partitions: number): (tenantId: string) => number {
  const partition = Partitioners.DefaultPartitioner();
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
    partitionErrorCode: 0,
    partitionId,
    leader: 0,
    replicas: [],
    isr: [],
  }));
  return (tenantId) => partition({ topic, partitionMetadata, message: { key: JSON.stringify({ tenant_id: tenantId }), value: null } });
}
