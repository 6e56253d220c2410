import type { Kafka } from 'kafkajs';

/** Next offsets of the partitions that a table's rows come in, as `topic/partition`. */
export type BarrierMark = ReadonlyMap<string, bigint>;

/** Orders a change of structure after the rows that came before it, although both come by different topics. */
export type RowBarrier = {
  /** Where the table's row topics end now. */
  readonly mark: (table: string) => Promise<BarrierMark>;
  /** Whether everything before the mark was read, signalled and committed. */
  readonly passed: (mark: BarrierMark) => Promise<boolean>;
  readonly stop: () => Promise<void>;
};

/**
 * A connector writes rows and DDL in the order of the log, so that every row before a DDL statement is in its topic when the statement
 * has been seen for a moment. The change consumers commit an offset only after the digest that counted it was accepted: when their
 * commits have reached the mark, the rows before the statement are signalled.
 */
export function kafkaRowBarrier(kafka: Kafka, settings: { readonly topicPrefix: string; readonly groupId: string }): RowBarrier {
  const admin = kafka.admin();
  let connected: Promise<void> | null = null;
  const ready = async (): Promise<void> => {
    connected ??= admin.connect().catch((error: unknown) => {
      connected = null;
      throw error;
    });
    await connected;
  };
  return {
    async mark(table) {
      await ready();
      const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(settings.topicPrefix) && topic.endsWith(`.${table}`));
      const marks = new Map<string, bigint>();
      for (const topic of topics)
        for (const { partition, high } of await admin.fetchTopicOffsets(topic)) marks.set(`${topic}/${partition}`, BigInt(high));
      return marks;
    },
    async passed(mark) {
      const wanted = [...mark].filter(([, end]) => end > 0n);
      if (wanted.length === 0) return true;
      await ready();
      const topics = [...new Set(wanted.map(([partition]) => partition.slice(0, partition.lastIndexOf('/'))))];
      const committed = new Map<string, bigint>();
      for (const { topic, partitions } of await admin.fetchOffsets({ groupId: settings.groupId, topics }))
        for (const { partition, offset } of partitions) committed.set(`${topic}/${partition}`, BigInt(offset));
      return wanted.every(([partition, end]) => (committed.get(partition) ?? -1n) >= end);
    },
    async stop() {
      if (connected) await admin.disconnect();
    },
  };
}
