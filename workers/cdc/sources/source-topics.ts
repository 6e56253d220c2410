import type { Kafka } from 'kafkajs';

/** Creates what is missing; what exists stays as it is. */
export function topicMaker(kafka: Kafka) {
  const made = new Set<string>();
  return async (topics: readonly { readonly name: string; readonly config: Readonly<Record<string, string>> }[]): Promise<void> => {
    if (topics.every(({ name }) => made.has(name))) return;
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
      for (const { name } of topics) made.add(name);
    } finally {
      await admin.disconnect();
    }
  };
}
