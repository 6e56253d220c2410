import { sleep } from '../../../platform/clock.ts';
import type { Logger } from '../../../platform/logger.ts';
import { type ChangeFeed, type FeedBatch, type FeedRecord, partitionKey } from '../change-feed.ts';
import type { DeadLetters } from '../dead-letter.ts';
import type { SensingMetrics } from '../metrics.ts';
import { type TableEvent, decodeSchemaEvent } from './decode-schema-event.ts';

/** Between two tries against an engine that is away. */
const retryMs = 1_000;

export type SchemaSensingDeps = {
  readonly feed: ChangeFeed;
  readonly deadLetters: Pick<DeadLetters, 'park'>;
  readonly record: (event: TableEvent) => Promise<number>;
  readonly metrics: Pick<SensingMetrics, 'events' | 'deadLetters' | 'retries'>;
  readonly logger: Logger;
  /** A connector has looked at the structure of its tables: it began, or began anew. */
  readonly onStructureFound?: (topic: string, offset: string) => void;
};

/** Reads the schema-change topics: each statement is on record before its offset is committed. */
export function createSchemaSensing({ feed, deadLetters, record, metrics, logger, onStructureFound }: SchemaSensingDeps) {
  async function untilDone(what: string, engine: string, alive: () => Promise<void>, work: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await work();
        return;
      } catch (error) {
        metrics.retries.inc({ engine });
        logger.warn({ err: error }, `${what}: trying again`);
        await sleep(retryMs);
        await alive();
      }
    }
  }

  async function takeOne(batch: FeedBatch, one: FeedRecord, alive: () => Promise<void>): Promise<void> {
    const decoded = decodeSchemaEvent(one);
    if (decoded.kind === 'undecodable') {
      await untilDone('a dead letter could not be parked', 'kafka', alive, () => deadLetters.park(batch, one, decoded.reason));
      metrics.deadLetters.inc();
      logger.error(
        { partition: partitionKey(batch), offset: one.offset, reason: decoded.reason },
        'a schema change cannot be read: parked',
      );
      return;
    }
    if (decoded.events.some(({ change }) => change.kind === 'found')) onStructureFound?.(batch.topic, one.offset);
    for (const event of decoded.events) {
      await untilDone('a schema change could not be recorded', 'mysql', alive, () => record(event));
      metrics.events.inc({ kind: 'schema' });
    }
  }

  return {
    start: () =>
      feed.start({
        async take(batch, alive) {
          const { topic, partition } = batch;
          for (const one of batch.records) {
            await takeOne(batch, one, alive);
            await feed.commit([{ topic, partition, offset: String(BigInt(one.offset) + 1n) }]);
          }
        },
        seen: () => undefined,
        rewound: () => undefined,
      }),
    stop: () => feed.stop(),
  };
}
