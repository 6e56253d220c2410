import kafkajs, { type Kafka } from 'kafkajs';
import type { Client } from '@temporalio/client';
import type { KeptElsewhere } from '../activities/forgetting/residuals.ts';
import { failure } from '../activities/failure.ts';
import { sourceTopic } from '../infra/debezium/source-connector.ts';
import { deadLetterTopic } from './cdc/dead-letter.ts';

const perDay = 86_400_000;

/** What Kafka and Temporal are set to keep, asked when a certificate is issued. Fails with Unavailable while one of them is away. */
export function keptElsewhere(
  {
    kafka,
    topicPrefix,
    temporal,
    namespace,
  }: { readonly kafka: Kafka; readonly topicPrefix: string; readonly temporal: Client; readonly namespace: string },
  backupDays: number | null,
): KeptElsewhere {
  const asked = async <T>(what: string, ask: () => Promise<T>): Promise<T> => {
    try {
      return await ask();
    } catch (error) {
      throw failure('Unavailable', `${what} does not say how long it keeps things: see \`mw status\``, error);
    }
  };
  return {
    backupDays,
    topics: (source) =>
      asked('Kafka', async () => {
        const names = [
          source ? sourceTopic(topicPrefix, source.database, source.table) : `${topicPrefix}.modelwright.examples`,
          deadLetterTopic(topicPrefix),
        ];
        const admin = kafka.admin();
        await admin.connect();
        try {
          const existing = new Set(await admin.listTopics());
          const resources = names
            .filter((name) => existing.has(name))
            .map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name, configNames: ['retention.ms'] }));
          if (resources.length === 0) return [];
          const answer = await admin.describeConfigs({ resources, includeSynonyms: false });
          return answer.resources.map(({ resourceName: name, configEntries }) => {
            const ms = Number(configEntries.find(({ configName }) => configName === 'retention.ms')?.configValue ?? -1);
            return { name, retentionMs: ms < 0 ? null : ms };
          });
        } finally {
          await admin.disconnect();
        }
      }),
    workflowRetentionMs: () =>
      asked('Temporal', async () => {
        const { config } = await temporal.workflowService.describeNamespace({ namespace });
        const seconds = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0);
        return seconds === 0 ? perDay : seconds * 1_000;
      }),
  };
}
