import kafkajs, { type Kafka } from 'kafkajs';
import type { FeedPartition, FeedRecord } from './change-feed.ts';

export type DeadLetters = {
  /** Parks an event that can never be understood, with its reason. Throws while Kafka is away: then it is tried again, never dropped. */
  readonly park: (from: FeedPartition, record: FeedRecord, reason: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

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
      const headers = { 'mw-reason': reason, 'mw-topic': from.topic, 'mw-partition': String(from.partition), 'mw-offset': offset };
      await producer.send({ topic, acks: -1, compression: kafkajs.CompressionTypes.LZ4, messages: [{ key, value, headers }] });
    },
    stop: () => producer.disconnect(),
  };
}
