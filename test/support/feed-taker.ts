import { type CompressionTypes, type Kafka, Partitioners } from 'kafkajs';
import type { FeedHandler } from '../../workers/cdc/change-feed.ts';

/** A handler that keeps what it was given, and can be told to hold a batch. */
export class FeedTaker implements FeedHandler {
  readonly taken: { readonly topic: string; readonly partition: number; readonly offset: number; readonly value: string | null }[] = [];
  rewounds = 0;
  seenTimes = 0;
  #held: Promise<void> | null = null;
  #release: () => void = () => undefined;

  take: FeedHandler['take'] = async ({ topic, partition, records }, alive) => {
    for (const { offset, value } of records)
      this.taken.push({ topic, partition, offset: Number(offset), value: value === null ? null : value.toString() });
    while (this.#held) {
      await Promise.race([this.#held, new Promise((resolve) => setTimeout(resolve, 1_000))]);
      await alive();
    }
  };
  seen = (): void => void (this.seenTimes += 1);
  rewound = (): void => void (this.rewounds += 1);

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = () => {
        this.#held = null;
        resolve();
      };
    });
  }
  release(): void {
    this.#release();
  }

  offsets(topic: string, partition: number): number[] {
    return this.taken.filter((record) => record.topic === topic && record.partition === partition).map(({ offset }) => offset);
  }
}

export async function createTopic(kafka: Kafka, topic: string, numPartitions: number): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: false });
  // The controller knows a topic a little before the broker does.
  for (let known = 0; known < numPartitions;) {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] }).catch(() => ({ topics: [] }));
    known = topics[0]?.partitions.filter(({ leader }) => leader >= 0).length ?? 0;
    if (known < numPartitions) await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await admin.disconnect();
}

/** `count` records to each partition, with values that tell them apart. */
export async function produce(
  kafka: Kafka,
  to: { readonly topic: string; readonly partitions: number; readonly count: number; readonly compression?: CompressionTypes },
): Promise<void> {
  // Idempotent: a new topic may refuse one partition, and what is sent again then must not be there twice.
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  const messages = Array.from({ length: to.count * to.partitions }, (_, i) => ({
    partition: i % to.partitions,
    value: `${i % to.partitions}:${Math.floor(i / to.partitions)}`,
  }));
  await producer.send({ topic: to.topic, acks: -1, messages, ...(to.compression === undefined ? {} : { compression: to.compression }) });
  await producer.disconnect();
}
