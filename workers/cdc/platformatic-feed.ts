import { Admin, Consumer, type Message, type MessagesStream } from '@platformatic/kafka';
import { nowMs, sleep } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { type ChangeFeed, type FeedBatch, type FeedHandler, type FeedRecord, partitionKey } from './change-feed.ts';
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

const clientId = 'modelwright-change-consumer';
const restartPauseMs = 1_000;
/** A membership that cannot be had for this long is somebody else's to mend: the supervisor starts the process anew. */
const giveUpAfterMs = 120_000;
/** Leaving the group must not hold up a stop when no broker is there to be told. */
const leaveDeadlineMs = 5_000;
/** Records between two looks at whether the partitions are still ours. */
const recordsPerTake = 2_000;

/** What the client is told of a membership, and again of each stream in it. */
const readingOptions = {
  autocommit: false,
  sessionTimeout: sessionTimeoutMs,
  heartbeatInterval: heartbeatIntervalMs,
  rebalanceTimeout: rebalanceTimeoutMs,
  maxWaitTime: maxWaitMs,
  minBytes: 1,
  maxBytes,
  maxBytesPerPartition,
  // The next fetch begins when this one is read.
  highWaterMark: 1,
} as const;

type Record = Message;
type Stream = MessagesStream<Buffer, Buffer, Buffer, Buffer>;

/** The change topics by @platformatic/kafka: the same contract as kafkajs, from a client that is maintained. */
export function platformaticFeed(
  settings: FeedSettings,
  deps: { readonly logger: Logger; readonly onCrash: (error: Error) => void; readonly signal: AbortSignal },
): ChangeFeed {
  const { logger, onCrash, signal } = deps;
  const bootstrapBrokers = [...settings.brokers];
  let handler: FeedHandler | null = null;
  let membership: Membership | null = null;
  let failingSinceMs: number | null = null;

  async function read(topics: readonly string[]): Promise<void> {
    await membership?.end();
    membership = null;
    if (topics.length === 0 || !handler) return;
    const to = handler;
    const joined = new Membership(settings, topics, {
      logger,
      handler: {
        ...to,
        seen() {
          failingSinceMs = null;
          to.seen();
        },
      },
      failed: (error) => void again(error),
    });
    membership = joined;
    await joined.begin();
  }

  /** Every failure is answered the same way, since the client does not say which will pass: a new membership, from what is committed. */
  async function again(reason: unknown): Promise<void> {
    failingSinceMs ??= nowMs();
    logger.warn({ err: reason }, 'reading ended: beginning again');
    if (nowMs() - failingSinceMs > giveUpAfterMs) return onCrash(reason instanceof Error ? reason : new Error(String(reason)));
    await sleep(restartPauseMs, undefined, { signal }).catch(() => undefined);
    await followed.again().catch(() => undefined);
  }

  async function listTopics(): Promise<readonly string[]> {
    const admin = new Admin({ clientId, bootstrapBrokers, retries: 0 });
    try {
      return await admin.listTopics({});
    } finally {
      await admin.close().catch(() => undefined);
    }
  }

  const followed = new FollowedTopics(settings.topics, { listTopics, read, logger, signal });
  return {
    async start(to) {
      handler = to;
      await followed.start();
    },
    setTopics: (topics) => followed.set(topics),
    async commit(offsets) {
      if (offsets.length === 0 || !membership) return;
      try {
        await membership.commit(offsets);
      } catch (error) {
        // A rebalance or a broker that is away: the events come again and are recognised.
        logger.warn({ err: error }, 'offsets were not committed');
      }
    },
    async stop() {
      await followed.stop();
      await membership?.end();
    },
  };
}

/** One stay in the group with one set of topics. */
class Membership {
  readonly #topics: readonly string[];
  readonly #deps: { readonly logger: Logger; readonly handler: FeedHandler; readonly failed: (error: unknown) => void };
  readonly #consumer: Consumer;
  #stream: Stream | null = null;
  #opening: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(
    settings: FeedSettings,
    topics: readonly string[],
    deps: { readonly logger: Logger; readonly handler: FeedHandler; readonly failed: (error: unknown) => void },
  ) {
    this.#topics = topics;
    this.#deps = deps;
    const { handler, logger } = deps;
    this.#consumer = new Consumer({
      clientId,
      groupId: settings.groupId,
      bootstrapBrokers: [...settings.brokers],
      autocreateTopics: false,
      ...readingOptions,
    });
    this.#consumer.on('error', (error: unknown) => this.#fail(error));
    this.#consumer.on('consumer:heartbeat:end', () => handler.seen());
    // Every join starts from the committed offsets again. A stream keeps its own place when nothing was committed, and what it has
    // fetched but not handed over is of the time before: so every join gets a new one.
    this.#consumer.on('consumer:group:join', ({ assignments }) => {
      if (this.#ended) return;
      const old = this.#stream;
      this.#stream = null;
      handler.rewound();
      handler.seen();
      logger.info({ assigned: assignments }, 'joined the consumer group');
      if (old) this.#reopen(old);
    });
  }

  async begin(): Promise<void> {
    this.#opening = this.#open();
    await this.#opening;
  }

  async commit(offsets: readonly { readonly topic: string; readonly partition: number; readonly offset: string }[]): Promise<void> {
    await this.#consumer.commit({
      offsets: offsets.map(({ topic, partition, offset }) => ({ topic, partition, offset: BigInt(offset), leaderEpoch: -1 })),
    });
  }

  async end(): Promise<void> {
    this.#ended = true;
    const stream = this.#stream;
    this.#stream = null;
    await this.#opening.catch(() => undefined);
    const leave = async (): Promise<void> => {
      stream?.destroy();
      await this.#consumer.close(true);
    };
    const left = leave().catch((error: unknown) => this.#deps.logger.debug({ err: error }, 'the group was not left in order'));
    await Promise.race([left, sleep(leaveDeadlineMs)]);
  }

  /** The new stream before the end of the old one: a topic without a stream would be a reason to join again. */
  #reopen(old: Stream): void {
    this.#opening = this.#opening
      .then(() => this.#open())
      .catch((error: unknown) => this.#fail(error))
      .finally(() => old.destroy());
  }

  async #open(): Promise<void> {
    if (this.#ended) return;
    const stream: Stream = await this.#consumer.consume({
      topics: [...this.#topics],
      mode: 'committed',
      fallbackMode: 'earliest',
      ...readingOptions,
    });
    if (this.#ended) {
      stream.destroy();
      return;
    }
    this.#stream?.destroy();
    this.#stream = stream;
    stream.on('error', (error: unknown) => {
      if (this.#stream === stream) this.#fail(error);
    });
    void this.#hand(stream).catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#deps.failed(error);
  }

  /** Hands over what the stream holds, one partition after the other, and reads on when it was taken. */
  async #hand(stream: Stream): Promise<void> {
    const ours = (): boolean => this.#stream === stream && !stream.destroyed;
    const alive = async (): Promise<void> => {
      // The client's own timer keeps the membership.
      if (!ours()) throw new BatchGone('the partitions were assigned anew');
      await Promise.resolve();
    };
    let wake = (): void => undefined;
    // Listeners that stay: without one for 'readable' the stream stops fetching.
    for (const event of ['readable', 'close', 'end', 'error'] as const) stream.on(event as 'readable', () => wake());
    while (ours()) {
      const change = new Promise<void>((resolve) => (wake = resolve));
      const batches = collect(stream);
      if (batches.length === 0) await change;
      try {
        for (const batch of batches) await this.#deps.handler.take(batch, alive);
      } catch (error) {
        if (error instanceof BatchGone) return;
        throw error;
      }
    }
  }
}

/** What the stream holds now, by partition, in order. */
function collect(stream: Stream): FeedBatch[] {
  const batches = new Map<string, { topic: string; partition: number; records: FeedRecord[] }>();
  for (let count = 0; count < recordsPerTake; count++) {
    const record = stream.read() as Record | null;
    if (record === null) break;
    const { topic, partition, offset, key, value, headerEntries } = record;
    const name = partitionKey({ topic, partition });
    let batch = batches.get(name);
    if (!batch) {
      batch = { topic, partition, records: [] };
      batches.set(name, batch);
    }
    batch.records.push({
      offset: String(offset),
      key: key ?? null,
      value: value ?? null,
      ...(headerEntries.length > 0 ? { headers: Object.fromEntries(headerEntries.map(([header, text]) => [String(header), text])) } : {}),
    });
  }
  return [...batches.values()];
}
