import type { Kafka } from 'kafkajs';

type Topic = { readonly name: string; readonly config: Readonly<Record<string, string>> };

/** Creates what is missing and says which that were; what exists stays as it is. */
export const topicMaker =
  (kafka: Kafka) =>
  async (topics: readonly Topic[]): Promise<string[]> => {
    if (topics.length === 0) return [];
    const admin = kafka.admin();
    await admin.connect();
    try {
      const existing = new Set(await admin.listTopics());
      const missing = topics.filter(({ name }) => !existing.has(name));
      if (missing.length > 0)
        await admin.createTopics({
          waitForLeaders: true,
          topics: missing.map(({ name, config }) => ({
            topic: name,
            numPartitions: 1,
            replicationFactor: 1,
            configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
          })),
        });
      return missing.map(({ name }) => name);
    } finally {
      await admin.disconnect();
    }
  };
