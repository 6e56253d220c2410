import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { z } from 'zod';

const topicsSchema = z.array(z.strictObject({ name: z.string(), partitions: z.number().int(), config: z.record(z.string(), z.string()) }));

/** Replaces `${NAME}` in a template file; a name without a value is an error. */
export function fillTemplate(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\{([A-Z_0-9]+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the template asks for ${name}, which has no value`);
    return value;
  });
}

export function readTopics(topicPrefix: string): z.infer<typeof topicsSchema> {
  const text = readFileSync(join(import.meta.dirname, 'topics.json'), 'utf8');
  return topicsSchema.parse(JSON.parse(fillTemplate(text, { TOPIC_PREFIX: topicPrefix })));
}

/** Creates the topics that are missing; those that exist stay as they are. */
export async function createTopics(kafka: { readonly brokers: readonly string[]; readonly topicPrefix: string }): Promise<void> {
  const admin = new Kafka({ clientId: 'modelwright-topics', brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const existing = new Set(await admin.listTopics());
    const topics = readTopics(kafka.topicPrefix)
      .filter(({ name }) => !existing.has(name))
      .map(({ name, partitions, config }) => ({
        topic: name,
        numPartitions: partitions,
        replicationFactor: 1,
        configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
      }));
    if (topics.length > 0) await admin.createTopics({ topics, waitForLeaders: true });
  } finally {
    await admin.disconnect();
  }
}
