import { type FeedBatch, partitionKey } from '../change-feed.ts';
import type { Facts, Jump } from './facts.ts';

/**
 * What the consumer itself sees of faults: where what is read does not follow what was read (nobody else sees it when the client moves its
 * offset by itself), and rows of snapshots.
 */
export class ReadingSeen {
  readonly #next = new Map<string, number>();
  readonly #jumps: Jump[] = [];
  readonly #snapshots = new Set<string>();

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

  snapshotRow(topic: string): void {
    this.#snapshots.add(topic);
  }

  take(): Pick<Facts, 'jumps' | 'snapshots'> {
    const snapshots = [...this.#snapshots];
    this.#snapshots.clear();
    return { jumps: this.#jumps.splice(0), snapshots };
  }
}
