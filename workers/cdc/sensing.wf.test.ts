import { Client, Connection } from '@temporalio/client';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ChangeDigest } from '../../core/change-digest.ts';
import { createLogger } from '../../platform/logger.ts';
import { debeziumValue, exampleRow, record } from '../../test/support/debezium-events.ts';
import { FakePlatform } from '../../test/support/fake-platform.ts';
import { HandFeed } from '../../test/support/hand-feed.ts';
import { startTemporal } from '../../test/support/temporal-env.ts';
import { type TenantClient, WorkflowFixture, eventually } from '../../test/support/workflow-fixture.ts';
import type { FeedRecord } from './change-feed.ts';
import { sensingMetrics } from './metrics.ts';
import { createSensing } from './sensing.ts';
import { signalMissed, signalTenant } from './signal-tenant.ts';

const inserts = (tenantId: string, from: number, count: number): FeedRecord[] =>
  Array.from({ length: count }, (_, i) =>
    record(from + i, debeziumValue({ sequence: from + i + 1, after: exampleRow(tenantId, `e${from + i}`), tsMs: Date.now() })),
  );

/** gRPC's RESOURCE_EXHAUSTED. */
const resourceExhausted = 8;

/** The real consumer, told of events by hand, in front of a real Temporal server. */
async function consumer(client: Client, refused: (error: { readonly code?: number }) => void = () => undefined) {
  const feed = new HandFeed();
  const parked: string[] = [];
  const signals: ChangeDigest[] = [];
  const service = createSensing({
    feed,
    deadLetters: { park: async (_from, { offset }) => void parked.push(offset) },
    recordTruncate: () => Promise.reject(new Error('no table is truncated here')),
    recordCommits: () => Promise.resolve(),
    signal: async (digest) => {
      await signalTenant(client, digest).catch((error: { cause?: { code?: number } }) => {
        refused(error.cause ?? {});
        throw error;
      });
      signals.push(digest);
    },
    missed: (tenantId, missed) => signalMissed(client, tenantId, missed),
    metrics: sensingMetrics(new Registry()),
    logger: createLogger('test', 'error'),
  });
  await service.start();
  return { feed, service, parked, signals };
}

describe('the change consumer and Temporal', { timeout: 120_000 }, () => {
  let fixture: WorkflowFixture;
  let platform: FakePlatform;
  let tenant: TenantClient;
  beforeAll(async () => {
    fixture = await WorkflowFixture.start();
  });
  afterAll(() => fixture.stop());
  afterEach(() => fixture.clear());
  const work = async (): Promise<void> => {
    platform = new FakePlatform();
    tenant = fixture.tenant();
    // Long: what is pending is to be seen.
    platform.create('c', { quietPeriodMs: 3_600_000, maxWaitMs: 7_200_000 });
    await fixture.work(platform);
  };
  const pending = (count: number) =>
    eventually(
      () => tenant.status(),
      (status) => status.pending.inserted === count,
      60_000,
    );

  it('makes fewer than 500 history events of 11,000 wake-ups of one tenant in a minute, and loses none', async () => {
    await work();
    const { feed, service, signals } = await consumer(fixture.env.client);
    const begin = Date.now();
    for (let sent = 0; sent < 11_000;) {
      const due = Math.min(11_000, Math.ceil(((Date.now() - begin) / 55_000) * 11_000));
      for (; sent < due; sent++) await feed.deliver(inserts(tenant.tenantId, sent, 1));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await service.stop(5_000);
    await pending(11_000);
    const { historyLength } = await tenant.handle.describe();
    expect(historyLength).toBeLessThan(500);
    expect(signals.length).toBeLessThanOrEqual(62);
    expect(feed.committed.get('examples/0')).toBe('11000');
  });

  it('is counted once when it dies between the signal and the commit, and told of everything again', async () => {
    await work();
    const dying = await consumer(fixture.env.client);
    await dying.feed.deliver(inserts(tenant.tenantId, 0, 25));
    await expect.poll(() => dying.signals.length).toBe(1);
    await pending(25);
    // Dead: nothing was committed that a successor would start behind.
    dying.feed.handler?.rewound();
    const successor = await consumer(fixture.env.client);
    await successor.feed.deliver(inserts(tenant.tenantId, 0, 25));
    await successor.service.stop(3_000);
    expect(successor.signals).toHaveLength(1);
    await pending(25);
    // Still alive to what is new.
    const third = await consumer(fixture.env.client);
    await third.feed.deliver(inserts(tenant.tenantId, 25, 5));
    await third.service.stop(3_000);
    await pending(30);
    await dying.service.stop(0);
  });

  it('hands everything over to a server that refuses most requests for lack of resources, and parks nothing', async () => {
    const limits = ['frontend.namespaceRPS=15', 'frontend.namespaceBurstRatio=1'];
    const small = await startTemporal(limits.flatMap((limit) => ['--dynamic-config-value', limit]));
    // Without the SDK's own patience: every refusal is ours to deal with.
    const connection = await Connection.connect({ address: small.address, interceptors: [] });
    try {
      const refusals: unknown[] = [];
      const { feed, service, signals, parked } = await consumer(new Client({ connection }), (error) => void refusals.push(error.code));
      const records = Array.from({ length: 60 }, (_, i) =>
        record(i, debeziumValue({ sequence: i + 1, after: exampleRow(`crowd-${i}`, 'e'), tsMs: Date.now() })),
      );
      await feed.deliver(records);
      await expect.poll(() => signals.length, { timeout: 60_000 }).toBe(60);
      await service.stop(5_000);
      expect(new Set(refusals)).toEqual(new Set([resourceExhausted]));
      expect(parked).toEqual([]);
      expect(new Set(signals.map(({ tenantId }) => tenantId)).size).toBe(60);
      expect(feed.committed.get('examples/0')).toBe('60');
    } finally {
      await connection.close();
      await small.teardown();
    }
  });
});
