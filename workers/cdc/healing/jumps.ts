import { type FeedBatch, partitionKey } from '../change-feed.ts';
import type { Jump } from './facts.ts';

/** Notes where what is read does not follow what was read: the only place that sees it when the client moves its offset by itself. */
export class OffsetJumps {
  readonly #next = new Map<string, number>();
  readonly #jumps: Jump[] = [];

  note(batch: FeedBatch): void {
    const first = batch.records[0];
    const last = batch.records.at(-1);
    if (!first || !last) return;
    const key = partitionKey(batch);
    const expected = this.#next.get(key);
    const got = Number(first.offset);
    if (expected !== undefined && got !== expected) this.#jumps.push({ topic: batch.topic, partition: batch.partition, expected, got });
    this.#next.set(key, Number(last.offset) + 1);
  }

  /** Reading begins anew at committed offsets, which are behind what was read. */
  rewound(): void {
    this.#next.clear();
  }

  take(): readonly Jump[] {
    return this.#jumps.splice(0);
  }
}
