import { type FeedBatch, partitionKey } from '../change-feed.ts';
import type { Jump, Seen } from './facts.ts';

/**
 * What the consumer itself sees of faults: where what is read does not follow what was read (nobody else sees it when the client moves its
 * offset by itself), rows of snapshots, and connectors that look at the structure of their tables.
 */
export class ReadingSeen {
  readonly #next = new Map<string, number>();
  readonly #jumps: Jump[] = [];
  readonly #snapshots = new Set<string>();
  readonly #beginnings = new Map<string, number>();

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

  structureFound(topic: string, offset: string): void {
    this.#beginnings.set(topic, Number(offset));
  }

  take(): Seen {
    const beginnings = [...this.#beginnings].map(([topic, offset]) => ({ topic, offset }));
    this.#beginnings.clear();
    const snapshots = [...this.#snapshots];
    this.#snapshots.clear();
    return { jumps: this.#jumps.splice(0), snapshots, beginnings };
  }
}
