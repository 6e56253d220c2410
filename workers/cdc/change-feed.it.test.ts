import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import kafkajs, { type Kafka } from 'kafkajs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createLogger } from '../../platform/logger.ts';
import { projectDir } from '../../platform/paths.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { createTopic, FeedTaker, produce } from '../../test/support/feed-taker.ts';
import type { ChangeFeed } from './change-feed.ts';
import { createFeed, type FeedName } from './create-feed.ts';
import { sessionTimeoutMs } from './feed-settings.ts';
import { createKafka } from './kafkajs-feed.ts';

const logger = createLogger('test', 'error');
const wait = { timeout: 40_000, interval: 100 };
const upTo = (count: number, from = 0): number[] => Array.from({ length: count - from }, (_, i) => from + i);
const distinct = (offsets: readonly number[]): number[] => [...new Set(offsets)].toSorted((a, b) => a - b);
const { LZ4: lz4, None: none } = kafkajs.CompressionTypes;

let stack: TestStack;
let kafka: Kafka;
let brokers: readonly string[];
beforeAll(async () => {
  stack = await startTestStack({ engines: ['kafka'] });
  brokers = stack.config.kafka.brokers;
  kafka = createKafka(brokers, 'test', logger);
});
afterAll(() => stack?.remove());

describe.each<FeedName>(['kafkajs', 'platformatic'])('the change feed by %s', (name) => {
  const open: ChangeFeed[] = [];
  const children: ChildProcess[] = [];
  const crashes: Error[] = [];
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await Promise.all(open.splice(0).map((feed) => feed.stop()));
    for (const crash of crashes) throw crash;
  });
  const begin = async (groupId: string, topics: readonly string[]) => {
    const signal = new AbortController().signal;
    const feed = await createFeed(name, { brokers, groupId, topics }, { logger, onCrash: (error) => void crashes.push(error), signal });
    open.push(feed);
    const taker = new FeedTaker();
    await feed.start(taker);
    return { feed, taker };
  };
  const end = async (feed: ChangeFeed): Promise<void> => {
    open.splice(open.indexOf(feed), 1);
    await feed.stop();
  };
  const id = (what: string): string => `${name}-${what}`;

  it('hands over every record of every partition in order, compressed or not', async () => {
    const topic = id('order');
    await createTopic(kafka, topic, 3);
    for (const compression of [lz4, none, lz4]) await produce(kafka, { topic, partitions: 3, count: 1_500, compression });
    const { taker } = await begin(topic, [topic]);
    await expect.poll(() => taker.taken.length, wait).toBe(13_500);
    for (const partition of [0, 1, 2]) expect(taker.offsets(topic, partition)).toEqual(upTo(4_500));
    expect(taker.taken.find(({ partition, offset }) => partition === 2 && offset === 1_499)?.value).toBe('2:1499');
    expect(taker.seenTimes).toBeGreaterThan(0);
  });

  it('begins after a restart where was committed, and at the beginning where nothing was', async () => {
    const topic = id('restart');
    await createTopic(kafka, topic, 2);
    await produce(kafka, { topic, partitions: 2, count: 300 });
    const first = await begin(topic, [topic]);
    await expect.poll(() => first.taker.taken.length, wait).toBe(600);
    await first.feed.commit([{ topic, partition: 0, offset: '100' }]);
    await end(first.feed);
    const second = await begin(topic, [topic]);
    await expect.poll(() => second.taker.taken.length, wait).toBe(500);
    expect(second.taker.offsets(topic, 0)).toEqual(upTo(300, 100));
    expect(second.taker.offsets(topic, 1)).toEqual(upTo(300));
  });

  it('reads no further while a batch is held, for longer than the session lasts, and keeps its membership', async () => {
    const topic = id('held');
    await createTopic(kafka, topic, 1);
    await produce(kafka, { topic, partitions: 1, count: 10 });
    const { taker } = await begin(topic, [topic]);
    taker.hold();
    await expect.poll(() => taker.taken.length, wait).toBe(10);
    const { rewounds } = taker;
    await produce(kafka, { topic, partitions: 1, count: 10 });
    await new Promise((resolve) => setTimeout(resolve, sessionTimeoutMs + 3_000));
    expect(taker.taken).toHaveLength(10);
    taker.release();
    await expect.poll(() => taker.taken.length, wait).toBe(20);
    expect(taker.offsets(topic, 0)).toEqual(upTo(20));
    expect(taker.rewounds).toBe(rewounds);
  });

  it('shares the partitions with a second member and takes them back, losing nothing', async () => {
    const topic = id('rebalance');
    await createTopic(kafka, topic, 4);
    await produce(kafka, { topic, partitions: 4, count: 50 });
    const a = await begin(topic, [topic]);
    await expect.poll(() => a.taker.taken.length, wait).toBe(200);
    for (const partition of [0, 1, 2, 3]) await a.feed.commit([{ topic, partition, offset: '40' }]);
    const before = a.taker.rewounds;
    const b = await begin(topic, [topic]);
    await expect.poll(() => a.taker.rewounds, wait).toBeGreaterThan(before);
    await produce(kafka, { topic, partitions: 4, count: 50 });
    const seen = (partition: number) => distinct([...a.taker.offsets(topic, partition), ...b.taker.offsets(topic, partition)]);
    await expect.poll(() => [0, 1, 2, 3].map((partition) => seen(partition).length), wait).toEqual([100, 100, 100, 100]);
    const ofB = [0, 1, 2, 3].filter((partition) => b.taker.offsets(topic, partition).length > 0);
    expect(ofB).toHaveLength(2);
    // What was not committed is read again by the new owner, in order and without a gap.
    for (const partition of ofB) expect(b.taker.offsets(topic, partition)).toEqual(upTo(100, 40));
    await end(b.feed);
    await produce(kafka, { topic, partitions: 4, count: 10 });
    await expect.poll(() => [0, 1, 2, 3].map((p) => distinct(a.taker.offsets(topic, p)).at(-1)), wait).toEqual([109, 109, 109, 109]);
    for (const partition of ofB)
      expect(distinct(a.taker.offsets(topic, partition)).filter((offset) => offset >= 40)).toEqual(upTo(110, 40));
  });

  it('replaces its topics while it runs: a missing one is waited for without holding up the others', async () => {
    const [stays, comes, goes] = [id('stays'), id('comes'), id('goes')];
    for (const topic of [stays, goes]) await createTopic(kafka, topic, 1);
    const { feed, taker } = await begin(stays, [stays, goes]);
    for (const topic of [stays, goes]) await produce(kafka, { topic, partitions: 1, count: 5 });
    await expect.poll(() => taker.taken.length, wait).toBe(10);
    await feed.commit([{ topic: stays, partition: 0, offset: '5' }]);
    await feed.setTopics([stays, comes]);
    for (const topic of [stays, goes]) await produce(kafka, { topic, partitions: 1, count: 5 });
    await expect.poll(() => taker.offsets(stays, 0), wait).toEqual(upTo(10));
    await createTopic(kafka, comes, 1);
    await produce(kafka, { topic: comes, partitions: 1, count: 5 });
    await expect.poll(() => taker.offsets(comes, 0), wait).toEqual(upTo(5));
    expect(distinct(taker.offsets(stays, 0))).toEqual(upTo(10));
    expect(taker.offsets(goes, 0)).toEqual(upTo(5));
  });

  it('reads on when one of its topics is deleted, and reads that from the beginning when it is there again', async () => {
    const [stays, deleted] = [id('kept'), id('deleted')];
    for (const topic of [stays, deleted]) await createTopic(kafka, topic, 1);
    const { taker } = await begin(stays, [stays, deleted]);
    for (const topic of [stays, deleted]) await produce(kafka, { topic, partitions: 1, count: 5 });
    await expect.poll(() => taker.taken.length, wait).toBe(10);
    const admin = kafka.admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [deleted] });
    await admin.disconnect();
    await produce(kafka, { topic: stays, partitions: 1, count: 5 });
    await expect.poll(() => distinct(taker.offsets(stays, 0)), wait).toEqual(upTo(10));
    await createTopic(kafka, deleted, 1);
    await produce(kafka, { topic: deleted, partitions: 1, count: 3 });
    await produce(kafka, { topic: stays, partitions: 1, count: 5 });
    await expect.poll(() => taker.offsets(deleted, 0).slice(5), wait).toEqual(upTo(3));
    await expect.poll(() => distinct(taker.offsets(stays, 0)), wait).toEqual(upTo(15));
  });

  it('reads from the beginning where the committed offset does not exist, never from the end', async () => {
    const topic = id('range');
    await createTopic(kafka, topic, 1);
    await produce(kafka, { topic, partitions: 1, count: 10 });
    const admin = kafka.admin();
    await admin.connect();
    await admin.setOffsets({ groupId: topic, topic, partitions: [{ partition: 0, offset: '5000' }] });
    await admin.disconnect();
    const { taker } = await begin(topic, [topic]);
    await expect.poll(() => taker.offsets(topic, 0), wait).toEqual(upTo(10));
  });

  it('survives the death of the broker', async () => {
    const topic = id('broker');
    await createTopic(kafka, topic, 2);
    await produce(kafka, { topic, partitions: 2, count: 20 });
    const { taker, feed } = await begin(topic, [topic]);
    await expect.poll(() => taker.taken.length, wait).toBe(40);
    stack.kill('kafka', 'SIGKILL');
    const state = () => stack.status().processes.find((process) => process.name === 'kafka')?.state;
    await expect.poll(state, wait).not.toBe('running');
    await expect.poll(state, { ...wait, timeout: 120_000 }).toBe('running');
    await produce(kafka, { topic, partitions: 2, count: 20 });
    await expect.poll(() => [0, 1].map((partition) => distinct(taker.offsets(topic, partition)).length), wait).toEqual([40, 40]);
    await expect
      .poll(async () => {
        await feed.commit([0, 1].map((partition) => ({ topic, partition, offset: '40' })));
        const admin = kafka.admin();
        await admin.connect();
        const [offsets] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
        await admin.disconnect();
        return offsets?.partitions.map(({ offset }) => offset);
      }, wait)
      .toEqual(['40', '40']);
  });

  it('comes back when its process was stopped for longer than the session', async () => {
    const topic = id('stopped');
    await createTopic(kafka, topic, 1);
    const child = spawn(process.execPath, [join(projectDir, 'test/support/feed-process.ts'), name, brokers.join(','), topic, topic], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    children.push(child);
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    const offsets = (): number[] =>
      distinct(
        printed
          .split('\n')
          .filter((line) => /^\d+$/.test(line))
          .map(Number),
      );
    await produce(kafka, { topic, partitions: 1, count: 5 });
    await expect.poll(offsets, wait).toEqual(upTo(5));
    child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, sessionTimeoutMs + 4_000));
    await produce(kafka, { topic, partitions: 1, count: 5 });
    const joins = printed.split('rewound').length;
    child.kill('SIGCONT');
    await expect.poll(offsets, wait).toEqual(upTo(10));
    expect(printed.split('rewound').length).toBeGreaterThan(joins);
    expect(child.exitCode).toBeNull();
  });
});
