import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import type { ChangeDigest } from '../../core/change-digest.ts';
import { createLogger } from '../../platform/logger.ts';
import { debeziumValue, exampleRow, record } from '../../test/support/debezium-events.ts';
import { HandFeed } from '../../test/support/hand-feed.ts';
import type { FeedRecord } from './change-feed.ts';
import { replayHeader } from './dead-letter.ts';
import { sensingMetrics } from './metrics.ts';
import { createSensing } from './sensing.ts';

async function sensing(refuse: (digest: ChangeDigest) => Error | null = () => null) {
  const feed = new HandFeed();
  const signals: ChangeDigest[] = [];
  const order: string[] = [];
  const parked: string[] = [];
  const truncated: string[] = [];
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
    recordTruncate: async ({ database, table }) => void truncated.push(`${database}.${table}`),
    missed: async (tenantId, { customizationIds }) => void order.push(`compared ${tenantId} ${customizationIds?.join()}`),
    metrics: sensingMetrics(new Registry()),
    logger: createLogger('test', 'error'),
  });
  await service.start();
  return { feed, service, signals, order, parked, truncated };
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
  it('reads no further while too much waits for an engine that refuses, and reads on afterwards', async () => {
    let refusing = true;
    const { feed, service, signals, parked } = await sensing(() => (refusing ? new Error('RESOURCE_EXHAUSTED') : null));
    let taken = false;
    // Each record is a transaction of its own: 50,000 of them fill what may wait.
    const taking = feed.deliver(inserts(0, 50_001)).then(() => (taken = true));
    await expect.poll(() => service.refusals()).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(taken).toBe(false);
    refusing = false;
    await taking;
    await service.stop(5_000);
    expect(signals.reduce((sum, { customizations }) => sum + (customizations['c']?.inserted ?? 0), 0)).toBe(50_001);
    expect(parked).toEqual([]);
    expect(feed.committed.get('examples/0')).toBe('50001');
  }, 30_000);
  it('parks what nobody can read and goes on behind it', async () => {
    const { feed, service, signals, parked } = await sensing();
    await feed.deliver([record(0, Buffer.from('{')), record(1, null), ...inserts(2, 1)]);
    await service.stop(2_000);
    expect(parked).toEqual(['0: the value is not JSON']);
    expect(signals).toHaveLength(1);
    expect(feed.committed.get('examples/0')).toBe('3');
  });
  it('puts a TRUNCATE on record before its offset is committed, and parks one of a table that nobody reads', async () => {
    const { feed, service, truncated, parked, signals } = await sensing();
    await feed.deliver([record(0, debeziumValue({ op: 't' })), record(1, debeziumValue({ op: 't', table: 'customizations' }))]);
    await feed.deliver([record(2, debeziumValue({ op: 't', table: 'others' }))]);
    await service.stop(500);
    expect(truncated).toEqual(['modelwright.examples', 'modelwright.customizations']);
    expect(parked).toEqual(['2: TRUNCATE names no tenant: its examples were removed without row events']);
    expect(signals).toEqual([]);
    expect(feed.committed.get('examples/0')).toBe('3');
  });
  it('has an event that an operator sent again compared, and does not count it', async () => {
    const { feed, service, signals, order } = await sensing();
    const [first, again] = inserts(0, 2);
    await feed.deliver([first as FeedRecord, { ...(again as FeedRecord), headers: { [replayHeader]: Buffer.from('examples:0:0') } }]);
    await service.stop(2_000);
    expect(order).toEqual(['compared t c', 'recorded 1', 'signalled']);
    expect(signals.map(({ customizations }) => customizations['c']?.inserted)).toEqual([1]);
    expect(feed.committed.get('examples/0')).toBe('2');
  });
  it('causes nothing by the rows of a snapshot', async () => {
    const { feed, service, signals } = await sensing();
    await feed.deliver([record(0, debeziumValue({ op: 'r', after: exampleRow('t', 'a') }))]);
    await service.stop(500);
    expect(signals).toEqual([]);
    expect(feed.committed.get('examples/0')).toBe('1');
  });
});
