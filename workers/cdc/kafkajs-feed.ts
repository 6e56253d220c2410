import kafkajs, { type Consumer, type Kafka } from 'kafkajs';
import lz4 from 'lz4-napi';
import type { Logger } from '../../platform/logger.ts';
import type { ChangeFeed, FeedHandler } from './change-feed.ts';
import {
  BatchGone,
  type FeedSettings,
  heartbeatIntervalMs,
  maxBytes,
  maxBytesPerPartition,
  maxWaitMs,
  rebalanceTimeoutMs,
  sessionTimeoutMs,
} from './feed-settings.ts';
import { FollowedTopics } from './followed-topics.ts';

// CommonJS whose names Node cannot see one by one.
const { CompressionCodecs, CompressionTypes, logLevel } = kafkajs;

/** Broker logs become ours; kafkajs says at most why it retries. */
export function createKafka(brokers: readonly string[], clientId: string, logger: Logger): Kafka {
  // kafkajs knows gzip only, and an unknown codec is a crash that is not restarted.
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: (encoder: { buffer: Buffer }) => lz4.compressFrame(encoder.buffer),
    // Not by a thread: handing a batch over and copying it back costs more than the work.
    decompress: (buffer: Buffer) => Promise.resolve(lz4.decompressFrameSync(buffer)),
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
  settings: FeedSettings,
  deps: { readonly kafka: Kafka; readonly logger: Logger; readonly onCrash: (error: Error) => void; readonly signal: AbortSignal },
): ChangeFeed {
  const { kafka, logger, onCrash, signal } = deps;
  let handler: FeedHandler | null = null;
  let reading: { readonly consumer: Consumer; end: () => Promise<void> } | null = null;

  /** kafkajs adds to what is subscribed and never takes away: another set of topics needs another consumer. */
  async function read(topics: readonly string[]): Promise<void> {
    await reading?.end();
    reading = null;
    if (topics.length === 0 || !handler) return;
    const begun = begin(handler);
    reading = begun;
    const { consumer } = begun;
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
    await begun.run();
  }

  function begin(to: FeedHandler) {
    let ended = false;
    const consumer: Consumer = kafka.consumer({
      groupId: settings.groupId,
      sessionTimeout: sessionTimeoutMs,
      heartbeatInterval: heartbeatIntervalMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      maxWaitTimeInMs: maxWaitMs,
      maxBytesPerPartition,
      maxBytes,
      allowAutoTopicCreation: false,
      retry: { initialRetryTime: 200, maxRetryTime: 5_000, retries: 10, restartOnFailure: () => Promise.resolve(!ended) },
    });
    consumer.on(consumer.events.CRASH, ({ payload: { error, restart } }) => {
      if (ended) return;
      logger.error({ err: error, restart }, 'the consumer crashed');
      // Otherwise the process would live on and read nothing.
      if (!restart) onCrash(error);
      // Perhaps a topic was deleted: the others are read on without it.
      else void followed.settle().catch(() => undefined);
    });
    consumer.on(consumer.events.HEARTBEAT, () => to.seen());
    consumer.on(consumer.events.FETCH, () => to.seen());
    // Every join starts from the committed offsets again.
    consumer.on(consumer.events.GROUP_JOIN, ({ payload: { memberAssignment } }) => {
      to.rewound();
      to.seen();
      logger.info({ assigned: memberAssignment }, 'joined the consumer group');
    });
    return {
      consumer,
      run: () =>
        consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          partitionsConsumedConcurrently: 8,
          async eachBatch(payload) {
            const { batch } = payload;
            const ours = (): boolean => !ended && payload.isRunning() && !payload.isStale();
            if (!ours()) return;
            try {
              await to.take({ topic: batch.topic, partition: batch.partition, records: batch.messages }, async () => {
                // A batch that waits for room must not hold up the end of the consumer.
                if (!ours()) throw new BatchGone('the consumer is ending');
                await payload.heartbeat();
              });
            } catch (error) {
              if (error instanceof BatchGone) return;
              throw error;
            }
            // Only what is read next; what is committed is the handler's word.
            payload.resolveOffset(batch.lastOffset());
          },
        }),
      end: async () => {
        ended = true;
        await consumer.disconnect();
      },
    };
  }

  const followed = new FollowedTopics(settings.topics, { listTopics: () => listTopics(kafka), read, logger, signal });
  return {
    async start(to) {
      handler = to;
      await followed.start();
    },
    setTopics: (topics) => followed.set(topics),
    async commit(offsets) {
      if (offsets.length === 0 || !reading) return;
      try {
        await reading.consumer.commitOffsets(offsets.map(({ topic, partition, offset }) => ({ topic, partition, offset })));
      } catch (error) {
        // A rebalance or a broker that is away: the events come again and are recognised.
        logger.warn({ err: error }, 'offsets were not committed');
      }
    },
    async stop() {
      await followed.stop();
      await reading?.end();
    },
  };
}

async function listTopics(kafka: Kafka): Promise<readonly string[]> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await admin.listTopics();
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
