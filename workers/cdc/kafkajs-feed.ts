import kafkajs, { type Consumer, type Kafka, type KafkaMessage } from 'kafkajs';
import lz4 from 'lz4-napi';
import { sleep } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { type ChangeFeed, type FeedHandler, epochHeader } from './change-feed.ts';

/** A killed consumer's partitions are free again after this: the least that a broker allows by default. */
const sessionTimeoutMs = 6_000;
const heartbeatIntervalMs = 2_000;
const rebalanceTimeoutMs = 30_000;
/** A fetch returns at once when there is anything; idle ones cost this often. */
const maxWaitMs = 1_000;
/** Bounds the memory of one fetch. */
const maxBytesPerPartition = 1_048_576;
const maxBytes = 8_388_608;
const startRetryMs = 1_000;

// CommonJS whose names Node cannot see one by one.
const { CompressionCodecs, CompressionTypes, logLevel } = kafkajs;

export type KafkaSettings = { readonly brokers: readonly string[]; readonly groupId: string; readonly topics: readonly string[] };

/** Broker logs become ours; kafkajs says at most why it retries. */
export function createKafka(brokers: readonly string[], clientId: string, logger: Logger): Kafka {
  // kafkajs knows gzip only, and an unknown codec is a crash that is not restarted.
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: (encoder: { buffer: Buffer }) => lz4.compressFrame(encoder.buffer),
    decompress: (buffer: Buffer) => lz4.decompressFrame(buffer),
  });
  return new kafkajs.Kafka({
    clientId,
    brokers: [...brokers],
    connectionTimeout: 3_000,
    retry: { initialRetryTime: 200, maxRetryTime: 5_000, retries: 10 },
    logLevel: logLevel.WARN,
    logCreator:
      () =>
      ({ namespace, level, log }) => {
        const { message, error } = log as { message: string; error?: unknown };
        const line = { kafka: namespace, ...(typeof error === 'string' ? { error } : {}) };
        if (level === logLevel.ERROR) logger.warn(line, message);
        else logger.debug(line, message);
      },
  });
}

/** The change topics by kafkajs (unmaintained, therefore behind the port; docs say what each setting is for). */
export function kafkajsFeed(
  settings: KafkaSettings,
  deps: { readonly kafka: Kafka; readonly logger: Logger; readonly onCrash: (error: Error) => void; readonly signal: AbortSignal },
): ChangeFeed {
  const { kafka, logger, onCrash, signal } = deps;
  const consumer: Consumer = kafka.consumer({
    groupId: settings.groupId,
    sessionTimeout: sessionTimeoutMs,
    heartbeatInterval: heartbeatIntervalMs,
    rebalanceTimeout: rebalanceTimeoutMs,
    maxWaitTimeInMs: maxWaitMs,
    maxBytesPerPartition,
    maxBytes,
    allowAutoTopicCreation: false,
    retry: { initialRetryTime: 200, maxRetryTime: 5_000, retries: 10, restartOnFailure: () => Promise.resolve(true) },
  });

  async function whenTopicsExist(): Promise<void> {
    const admin = kafka.admin();
    for (let told = false; ; told = true) {
      try {
        await admin.connect();
        const existing = new Set(await admin.listTopics());
        const missing = settings.topics.filter((topic) => !existing.has(topic));
        if (missing.length === 0) return await admin.disconnect();
        if (!told) logger.warn({ missing }, 'topics do not exist yet: waiting for them');
      } catch (error) {
        if (!told) logger.warn({ err: error }, 'Kafka does not answer yet: waiting for it');
        await admin.disconnect().catch(() => undefined);
      }
      await sleep(startRetryMs, undefined, { signal });
    }
  }

  return {
    async start(handler: FeedHandler) {
      consumer.on(consumer.events.CRASH, ({ payload: { error, restart } }) => {
        logger.error({ err: error, restart }, 'the consumer crashed');
        // Otherwise the process would live on and read nothing.
        if (!restart) onCrash(error);
      });
      consumer.on(consumer.events.HEARTBEAT, () => handler.seen());
      consumer.on(consumer.events.FETCH, () => handler.seen());
      // Every join starts from the committed offsets again.
      consumer.on(consumer.events.GROUP_JOIN, ({ payload: { memberAssignment } }) => {
        handler.rewound();
        handler.seen();
        logger.info({ assigned: memberAssignment }, 'joined the consumer group');
      });
      await whenTopicsExist();
      await consumer.connect();
      await consumer.subscribe({ topics: [...settings.topics], fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 8,
        async eachBatch(payload) {
          const { batch } = payload;
          if (!payload.isRunning() || payload.isStale()) return;
          const records = batch.messages.map(({ offset, key, value, headers }: KafkaMessage) => ({
            offset,
            key,
            value,
            epoch: Number(headers?.[epochHeader] ?? 0),
          }));
          await handler.take({ topic: batch.topic, partition: batch.partition, records }, () => payload.heartbeat());
          // Only what is read next; what is committed is the handler's word.
          payload.resolveOffset(batch.lastOffset());
        },
      });
    },
    async commit(offsets) {
      if (offsets.length === 0) return;
      try {
        await consumer.commitOffsets(offsets.map(({ topic, partition, offset }) => ({ topic, partition, offset })));
      } catch (error) {
        // A rebalance or a broker that is away: the events come again and are recognised.
        logger.warn({ err: error }, 'offsets were not committed');
      }
    },
    async stop() {
      await consumer.disconnect();
    },
  };
}
