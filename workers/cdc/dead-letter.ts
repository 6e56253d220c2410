import kafkajs, { type Kafka } from 'kafkajs';
import type { FeedPartition, FeedRecord } from './change-feed.ts';

export type DeadLetters = {
  /** Parks an event that can never be understood, with its reason. Throws while Kafka is away: then it is tried again, never dropped. */
  readonly park: (from: FeedPartition, record: FeedRecord, reason: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

/** Headers of a parked event: where it came from and why it is here. */
export const parkedHeaders = { reason: 'mw-reason', topic: 'mw-topic', partition: 'mw-partition', offset: 'mw-offset' } as const;
/** On an event that an operator sent again, and on the note in the dead-letter topic that says so: which parked event it was. */
export const replayHeader = 'mw-replay-of';

export const deadLetterTopic = (topicPrefix: string): string => `${topicPrefix}.dead-letter`;

export function kafkaDeadLetters(kafka: Kafka, topic: string): DeadLetters {
  const producer = kafka.producer({ allowAutoTopicCreation: false, idempotent: true, maxInFlightRequests: 1 });
  let connected: Promise<void> | null = null;
  return {
    async park(from, { offset, key, value }, reason) {
      connected ??= producer.connect().catch((error: unknown) => {
        connected = null;
        throw error;
      });
      await connected;
      const headers = {
        [parkedHeaders.reason]: reason,
        [parkedHeaders.topic]: from.topic,
        [parkedHeaders.partition]: String(from.partition),
        [parkedHeaders.offset]: offset,
      };
      await producer.send({ topic, acks: -1, compression: kafkajs.CompressionTypes.LZ4, messages: [{ key, value, headers }] });
    },
    stop: () => producer.disconnect(),
  };
}
