import type { ChangeDigest, LogPosition } from '../../core/change-digest.ts';
import { inEpoch } from '../../core/gtid.ts';
import type { ChangesMissed } from '../../core/tenant-messages.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { type ChangeFeed, type FeedBatch, type FeedRecord, epochOf, parsePartitionKey, partitionKey } from './change-feed.ts';
import { type DeadLetters, replayHeader } from './dead-letter.ts';
import { type ChangeEffect, decodeChange } from './decode.ts';
import { type TableEvent, decodeTruncate } from './schema/decode-schema-event.ts';
import type { DigestBuilder, SensedCommit } from './digest-builder.ts';
import type { SensingMetrics } from './metrics.ts';
import { PendingDigests } from './pending-digests.ts';
import type { Decode } from './sources/decoders.ts';

/** Digests on their way at a time: the server takes 60-150 signals a second, and one that is slow must not hold the others up. */
const concurrentSignals = 16;
/** Offsets are committed this often at most; what a crash in between re-reads is recognised. */
const commitIntervalMs = 1_000;
/** Waits after an engine refused: doubled from the first to the longest. */
const firstRetryMs = 200;
const longestRetryMs = 10_000;
/** While a batch waits for room, the feed is told that we live this often. */
const aliveIntervalMs = 1_000;
/** Events between two looks at the clock, so that a large batch does not stop the signals. */
const eventsPerTurn = 1_000;
const forgetAfterMs = 60_000;

export type SensingDeps = {
  readonly feed: ChangeFeed;
  /** How events of a topic are read, where there are others than our own tables'; may wait, and says then that we are alive. */
  readonly decoderOf?: (topic: string, alive: () => Promise<void>) => Promise<Decode>;
  readonly deadLetters: Pick<DeadLetters, 'park'>;
  readonly recordCommits: (commits: readonly SensedCommit[], sensedAtMs: number) => Promise<void>;
  readonly signal: (digest: ChangeDigest) => Promise<void>;
  /** Puts it on record: a TRUNCATE comes among the rows, and nowhere else. */
  readonly recordTruncate: (event: TableEvent) => Promise<unknown>;
  readonly missed: (tenantId: string, missed: ChangesMissed) => Promise<void>;
  readonly metrics: SensingMetrics;
  readonly logger: Logger;
  /** Sees every batch before it is counted. */
  readonly onBatch?: (batch: FeedBatch) => void;
  /** What is read next does not follow what was read last. */
  readonly onRewound?: () => void;
  readonly onSnapshotRow?: (topic: string) => void;
};

const atEpoch = (position: LogPosition, epoch: number): LogPosition =>
  epoch === 0 ? position : { ...position, gtid: inEpoch(position.gtid, epoch) };

/** Change events become one digest a tenant: read, count, record, signal, and only then commit the offsets. */
export function createSensing(deps: SensingDeps) {
  const { feed, deadLetters, metrics, logger } = deps;
  const pending = new PendingDigests();
  const committed = new Map<string, number>();
  let refusals = 0;
  let pausedUntilMs = 0;
  let lastSeenMs: number | null = null;
  let onTheWay = 0;
  let stopping = false;
  let timer: NodeJS.Timeout | null = null;
  let roomMade: (() => void)[] = [];

  async function take(batch: FeedBatch, alive: () => Promise<void>): Promise<void> {
    const partition = partitionKey(batch);
    deps.onBatch?.(batch);
    const decode = (await deps.decoderOf?.(batch.topic, alive)) ?? decodeChange;
    let untilTurn = eventsPerTurn;
    const kinds = new Map<string, number>();
    const countKind = (kind: string): void => void kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    const tellKinds = (): void => {
      for (const [kind, events] of kinds) metrics.events.inc({ kind }, events);
      kinds.clear();
    };
    for (const record of batch.records) {
      const decoded = decode(record);
      const offset = Number(record.offset);
      if (decoded.kind === 'change' && record.headers !== undefined && replayHeader in record.headers) {
        await compare(batch, record, decoded.effects, alive);
        countKind('replayed');
        pending.skip(partition, offset);
      } else if (decoded.kind === 'change') {
        pending.add(partition, offset, decoded.effects, atEpoch(decoded.position, epochOf(record)), decoded.commitMs);
        for (const { operation } of decoded.effects) countKind(operation);
      } else {
        const truncate = decoded.kind === 'undecodable' ? decodeTruncate(record) : null;
        if (truncate) await recordTruncate(truncate, alive);
        else if (decoded.kind === 'undecodable') await park(batch, record, decoded.reason, alive);
        if (decoded.kind === 'nothing' && decoded.why === 'snapshot') deps.onSnapshotRow?.(batch.topic);
        countKind(truncate ? 'truncate' : decoded.kind === 'nothing' ? decoded.why : 'undecodable');
        pending.skip(partition, offset);
      }
      if (--untilTurn === 0) {
        untilTurn = eventsPerTurn;
        tellKinds();
        pump();
        await alive();
      }
    }
    tellKinds();
    pump();
    if (pending.full) metrics.backpressure.inc();
    while (mustWait()) {
      await Promise.race([new Promise<void>((resolve) => roomMade.push(resolve)), sleep(aliveIntervalMs)]);
      await alive();
    }
  }

  const mustWait = (): boolean => pending.full && !stopping;

  /** An event that cannot be parked now is parked later: the partition waits, nothing is dropped. */
  async function park(batch: FeedBatch, record: FeedRecord, reason: string, alive: () => Promise<void>): Promise<void> {
    const { topic, partition } = batch;
    await persist('kafka', () => deadLetters.park(batch, record, reason), alive);
    metrics.deadLetters.inc();
    logger.error({ topic, partition, offset: record.offset, reason }, 'an event cannot be read: parked in the dead-letter topic');
  }

  /** An event that an operator sent again is out of its time: the watermarks would call it counted. What it is about is compared instead. */
  async function compare(
    batch: FeedBatch,
    record: FeedRecord,
    effects: readonly ChangeEffect[],
    alive: () => Promise<void>,
  ): Promise<void> {
    const reason = `an event that had been parked was sent again to ${partitionKey(batch)} at offset ${record.offset}`;
    for (const { tenantId, customizationId } of effects)
      await persist('temporal', () => deps.missed(tenantId, { customizationIds: [customizationId], reason }), alive);
  }

  async function persist(engine: string, effect: () => Promise<void>, alive: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await effect();
        break;
      } catch (error) {
        metrics.retries.inc({ engine });
        logger.warn({ err: error, engine }, 'an event could not be dealt with: trying again');
        await sleep(aliveIntervalMs);
        await alive();
      }
    }
    // The partition may have moved meanwhile: then the event is not ours to pass.
    await alive();
  }

  /** Until it is on record a dataset could be read without the rows: the partition waits. */
  async function recordTruncate(event: TableEvent, alive: () => Promise<void>): Promise<void> {
    const { database, table } = event;
    for (;;) {
      try {
        await deps.recordTruncate(event);
        logger.error({ database, table, gtid: event.position.gtid }, 'a table was truncated');
        return;
      } catch (error) {
        metrics.retries.inc({ engine: 'mysql' });
        logger.warn({ err: error, database, table }, 'a TRUNCATE could not be recorded: trying again');
        await sleep(aliveIntervalMs);
        await alive();
      }
    }
  }

  /** Sends what is due, and sets the alarm for what will be. */
  function pump(): void {
    if (stopping) return;
    const now = nowMs();
    while (onTheWay < concurrentSignals && pausedUntilMs <= now) {
      const digest = pending.take(now);
      if (!digest) break;
      onTheWay += 1;
      void send(digest).finally(() => {
        onTheWay -= 1;
        for (const resolve of roomMade.splice(0)) resolve();
        pump();
      });
    }
    metrics.waitingTenants.set(pending.waiting.tenants);
    const nextMs = pending.nextDueMs();
    if (timer) clearTimeout(timer);
    timer = nextMs === null ? null : setTimeout(pump, Math.max(1, Math.max(nextMs, pausedUntilMs) - nowMs()));
  }

  async function send(digest: DigestBuilder): Promise<void> {
    const built = digest.build();
    let engine = 'mysql';
    try {
      await deps.recordCommits(digest.commits(), nowMs());
      engine = 'temporal';
      await deps.signal(built);
      refusals = 0;
      pending.sent(digest, nowMs());
      metrics.signals.inc();
      for (const { firstCommitMs } of Object.values(built.customizations))
        metrics.lag.observe(Math.max(0, nowMs() - firstCommitMs) / 1_000);
    } catch (error) {
      // Whatever it is, the change is real: it waits, and everyone waits a little with it, since an engine that refuses needs rest.
      // Those that were on their way together are refused together: that is one refusal.
      if (nowMs() >= pausedUntilMs) {
        refusals += 1;
        pausedUntilMs = nowMs() + Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(refusals - 1, 10));
      }
      const delayMs = pausedUntilMs - nowMs();
      pending.failed(digest, pausedUntilMs);
      metrics.retries.inc({ engine });
      logger.warn({ err: error, engine, tenantId: digest.tenantId, delayMs }, 'a digest could not be handed over: trying again');
    }
  }

  async function commit(): Promise<void> {
    const offsets = [...pending.lowWater()].filter(([partition, offset]) => offset > (committed.get(partition) ?? -1));
    for (const [partition, offset] of offsets) committed.set(partition, offset);
    await feed.commit(offsets.map(([partition, offset]) => ({ ...parsePartitionKey(partition), offset: String(offset) })));
    pending.forgetQuiet(nowMs(), forgetAfterMs);
  }

  let committing: Promise<void> = Promise.resolve();
  let committer: NodeJS.Timeout | null = null;

  return {
    async start(): Promise<void> {
      committer = setInterval(() => void (committing = committing.then(commit)), commitIntervalMs);
      await feed.start({
        take,
        seen() {
          lastSeenMs = nowMs();
        },
        rewound() {
          pending.clear();
          committed.clear();
          deps.onRewound?.();
        },
      });
    },
    /** Hands over what is read, commits, and leaves the group, so that the next member starts where this one ended. */
    async stop(drainMs: number): Promise<void> {
      const endMs = nowMs() + drainMs;
      while (pending.waiting.tenants > 0 && nowMs() < endMs) {
        pump();
        await sleep(20);
      }
      stopping = true;
      if (timer) clearTimeout(timer);
      if (committer) clearInterval(committer);
      await committing;
      await commit();
      await feed.stop();
    },
    /** For readiness: how often in a row digests were refused. */
    refusals: () => refusals,
    /** For readiness: since when the feed has been silent; null before it has begun. */
    silentMs: () => (lastSeenMs === null ? null : nowMs() - lastSeenMs),
  };
}
