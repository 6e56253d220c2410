import type { EachBatchPayload, Kafka, KafkaMessage, Message } from 'kafkajs';

export type RawEvent = Required<Pick<Message, 'partition' | 'key' | 'value'>> & { readonly value: Buffer | null };

/** Everything that a topic holds now, by a reader of its own that leaves no group behind. */
async function readAll(kafka: Kafka, topic: string): Promise<(KafkaMessage & { readonly partition: number })[]> {
  const admin = kafka.admin();
  await admin.connect();
  const groupId = `test-reader-${process.pid}-${Math.random()}`;
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 });
  try {
    const ends = new Map(
      (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => [partition, high === low ? 0 : Number(high)]),
    );
    for (const [partition, end] of ends) if (end === 0) ends.delete(partition);
    const read: (KafkaMessage & { partition: number })[] = [];
    if (ends.size === 0) return read;
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload: { error } }) => reject(error));
      const eachBatch = ({ batch }: EachBatchPayload): Promise<void> => {
        for (const message of batch.messages) read.push({ ...message, partition: batch.partition });
        if (Number(batch.lastOffset()) + 1 >= (ends.get(batch.partition) ?? 0)) ends.delete(batch.partition);
        if (ends.size === 0) resolve();
        return Promise.resolve();
      };
      consumer.run({ autoCommit: false, eachBatch }).catch(reject);
    });
    return read;
  } finally {
    await consumer.disconnect();
    await admin.deleteGroups([groupId]).catch(() => undefined);
    await admin.disconnect();
  }
}

/** The change events of some tenants, in the order of their partitions. */
export async function eventsOf(kafka: Kafka, topic: string, tenantIds: readonly string[]): Promise<RawEvent[]> {
  const all = await readAll(kafka, topic);
  return all
    .filter(({ key }) => tenantIds.some((id) => key?.toString() === JSON.stringify({ tenant_id: id })))
    .map(({ partition, key, value }) => ({ partition, key, value }));
}

/** Records in the change topic that no connector has written. */
export async function produce(kafka: Kafka, topic: string, messages: readonly RawEvent[]): Promise<void> {
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  // A broker takes no request that is longer than one record may be.
  for (const message of messages.filter(({ value }) => (value?.length ?? 0) > 100_000)) await producer.send({ topic, messages: [message] });
  const small = messages.filter(({ value }) => (value?.length ?? 0) <= 100_000);
  for (let from = 0; from < small.length; from += 200) await producer.send({ topic, messages: small.slice(from, from + 200) });
  await producer.disconnect();
}

/** Headers of what lies in the dead-letter topic, every record by itself: an event that was parked twice is there twice. */
export async function headersOfParked(kafka: Kafka, topicPrefix: string): Promise<Record<string, string>[]> {
  const records = await readAll(kafka, `${topicPrefix}.dead-letter`);
  return records.map(({ headers }) => Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)])));
}
