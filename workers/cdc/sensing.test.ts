import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import type { ChangeDigest } from '../../core/change-digest.ts';
import { createLogger } from '../../platform/logger.ts';
import { debeziumValue, exampleRow, record } from '../../test/support/debezium-events.ts';
import type { ChangeFeed, FeedHandler, FeedRecord } from './change-feed.ts';
import { sensingMetrics } from './metrics.ts';
import { createSensing } from './sensing.ts';

/** A feed that a test drives by hand; it keeps what was committed. */
class HandFeed implements ChangeFeed {
  handler: FeedHandler | null = null;
  readonly committed = new Map<string, string>();
  topics: readonly string[] = [];
  setTopics = async (topics: readonly string[]): Promise<void> => {
    this.topics = topics;
  };
  start = async (handler: FeedHandler): Promise<void> => {
    this.handler = handler;
  };
  commit: ChangeFeed['commit'] = async (offsets) => {
    for (const { topic, partition, offset } of offsets) this.committed.set(`${topic}/${partition}`, offset);
  };
  stop = async (): Promise<void> => undefined;
  deliver = (records: readonly FeedRecord[]): Promise<void> =>
    this.handler?.take({ topic: 'examples', partition: 0, records }, () => Promise.resolve()) ?? Promise.resolve();
}

async function sensing(refuse: (digest: ChangeDigest) => Error | null = () => null) {
  const feed = new HandFeed();
  const signals: ChangeDigest[] = [];
  const order: string[] = [];
  const parked: string[] = [];
  const service = createSensing({
    feed,
    deadLetters: { park: async (_from, { offset }, reason) => void parked.push(`${offset}: ${reason}`) },
    recordCommits: async (commits) => void order.push(`recorded ${commits.length}`),
    signal: async (digest) => {
      const error = refuse(digest);
      if (error) throw error;
      order.push('signalled');
      signals.push(digest);
    },
    metrics: sensingMetrics(new Registry()),
    logger: createLogger('test', 'error'),
  });
  await service.start();
  return { feed, service, signals, order, parked };
}

const inserts = (from: number, count: number, tenantId = 't'): FeedRecord[] =>
  Array.from({ length: count }, (_, i) =>
    record(from + i, debeziumValue({ sequence: from + i + 1, after: exampleRow(tenantId, `e${from + i}`) })),
  );

describe('sensing', () => {
  it('makes one signal of the changes of one tenant that were read together, recorded before it', async () => {
    const { feed, service, signals, order } = await sensing();
    await feed.deliver(inserts(0, 900));
    await service.stop(2_000);
    expect(signals.map(({ customizations }) => customizations['c']?.inserted)).toEqual([900]);
    expect(order).toEqual(['recorded 900', 'signalled']);
    expect(feed.committed.get('examples/0')).toBe('900');
  });
  it('signals a tenant at most once a second, the first time at once', async () => {
    const { feed, service, signals } = await sensing();
    for (let i = 0; i < 10; i++) await feed.deliver(inserts(i, 1));
    await expect.poll(() => signals.length).toBe(1);
    await service.stop(3_000);
    expect(signals.map(({ customizations }) => customizations['c']?.inserted)).toEqual([1, 9]);
  });
  it('keeps the offsets back while Temporal refuses, dead-letters nothing, and hands everything over afterwards', async () => {
    let refusing = true;
    const { feed, service, signals, parked } = await sensing(() =>
      refusing ? Object.assign(new Error('RESOURCE_EXHAUSTED'), { code: 8 }) : null,
    );
    await feed.deliver(inserts(0, 3));
    await feed.deliver(inserts(3, 2, 'other'));
    await expect.poll(() => service.refusals()).toBeGreaterThan(1);
    expect(feed.committed.get('examples/0') ?? '0').toBe('0');
    refusing = false;
    await expect.poll(() => signals.length, { timeout: 5_000 }).toBe(2);
    await service.stop(1_000);
    expect(Object.fromEntries(signals.map(({ tenantId, customizations }) => [tenantId, customizations['c']?.inserted]))).toEqual({
      other: 2,
      t: 3,
    });
    expect(parked).toEqual([]);
    expect(feed.committed.get('examples/0')).toBe('5');
  });
  it('parks what nobody can read and goes on behind it', async () => {
    const { feed, service, signals, parked } = await sensing();
    await feed.deliver([record(0, Buffer.from('{')), record(1, null), ...inserts(2, 1)]);
    await service.stop(2_000);
    expect(parked).toEqual(['0: the value is not JSON']);
    expect(signals).toHaveLength(1);
    expect(feed.committed.get('examples/0')).toBe('3');
  });
  it('causes nothing by the rows of a snapshot', async () => {
    const { feed, service, signals } = await sensing();
    await feed.deliver([record(0, debeziumValue({ op: 'r', after: exampleRow('t', 'a') }))]);
    await service.stop(500);
    expect(signals).toEqual([]);
    expect(feed.committed.get('examples/0')).toBe('1');
  });
});
