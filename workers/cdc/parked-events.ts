import kafkajs, { type IHeaders, type Kafka, type KafkaMessage } from 'kafkajs';
import { deadLetterTopic, parkedHeaders, replayHeader } from './dead-letter.ts';

/** An event that nobody could read. `id` is TOPIC:PARTITION:OFFSET of where it was. */
export type ParkedEvent = {
  readonly id: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly reason: string;
  readonly parkedAtMs: number;
  /** When an operator sent it again; null: never. */
  readonly replayedAtMs: number | null;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
};

const text = (headers: IHeaders | undefined, name: string): string | null => {
  const value = headers?.[name];
  const first = Array.isArray(value) ? value[0] : value;
  return first === undefined ? null : first.toString();
};

/** Adds a record of the dead-letter topic: a parked event, the same one once more, or the note that it was sent again. */
function add(events: Map<string, ParkedEvent>, { headers, key, value, timestamp }: KafkaMessage): void {
  const replayed = text(headers, replayHeader);
  if (replayed !== null) {
    const event = events.get(replayed);
    if (event) events.set(replayed, { ...event, replayedAtMs: Number(timestamp) });
    return;
  }
  const [topic, partition, offset] = [parkedHeaders.topic, parkedHeaders.partition, parkedHeaders.offset].map((name) =>
    text(headers, name),
  );
  if (!topic || !partition || !offset) return;
  const id = `${topic}:${partition}:${offset}`;
  // A crash before the commit parks an event twice.
  if (events.has(id)) return;
  const reason = text(headers, parkedHeaders.reason) ?? '';
  const parkedAtMs = Number(timestamp);
  events.set(id, { id, topic, partition: Number(partition), offset, reason, parkedAtMs, replayedAtMs: null, key, value });
}

/** Everything that is parked, oldest first. Reads the topic to its present end, in a group of its own that is gone afterwards. */
export async function readParked(kafka: Kafka, topicPrefix: string, groupSuffix: string): Promise<ParkedEvent[]> {
  const topic = deadLetterTopic(topicPrefix);
  const admin = kafka.admin();
  await admin.connect();
  try {
    const ends = await admin.fetchTopicOffsets(topic);
    const missing = new Map(
      ends.filter(({ high, low }) => Number(high) > Number(low)).map(({ partition, high }) => [partition, Number(high)]),
    );
    const events = new Map<string, ParkedEvent>();
    if (missing.size === 0) return [];
    const groupId = `${topicPrefix}-dead-letters-${groupSuffix}`;
    const consumer = kafka.consumer({ groupId, allowAutoTopicCreation: false, maxWaitTimeInMs: 200 });
    await consumer.connect();
    try {
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
      await new Promise<void>((resolve, reject) => {
        consumer.on(consumer.events.CRASH, ({ payload: { error } }) => reject(error));
        consumer
          .run({
            autoCommit: false,
            eachBatch: async ({ batch }) => {
              for (const message of batch.messages) add(events, message);
              if (Number(batch.lastOffset()) + 1 >= (missing.get(batch.partition) ?? 0)) missing.delete(batch.partition);
              if (missing.size === 0) resolve();
            },
          })
          .catch(reject);
      });
    } finally {
      await consumer.disconnect();
      await admin.deleteGroups([groupId]).catch(() => undefined);
    }
    return [...events.values()];
  } finally {
    await admin.disconnect();
  }
}

/** Sends parked events to where they came from, marked as sent again, and notes it in the dead-letter topic. */
export async function replayParked(kafka: Kafka, topicPrefix: string, events: readonly ParkedEvent[]): Promise<void> {
  const producer = kafka.producer({ allowAutoTopicCreation: false, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  try {
    for (const { id, topic, partition, key, value } of events) {
      const headers = { [replayHeader]: id };
      const compression = kafkajs.CompressionTypes.LZ4;
      // The note comes second: a crash in between leaves an event that is sent once more, not one that is lost.
      await producer.send({ topic, acks: -1, compression, messages: [{ partition, key, value, headers }] });
      await producer.send({ topic: deadLetterTopic(topicPrefix), acks: -1, messages: [{ key, value: null, headers }] });
    }
  } finally {
    await producer.disconnect();
  }
}
