import type { BytesAt } from './hash-worker.ts';

/** Memory of former works, by size: given back, it would go when the collector finds it, which for memory of several threads is late. */
const spare = new Map<number, SharedArrayBuffer[]>();

/** One piece of memory, of which parts are lent: who finds no room waits until others have given theirs back. Nothing else is allocated for shards. */
export class ShardMemory {
  readonly #memory: SharedArrayBuffer;
  /** By their place. */
  #lent: BytesAt[] = [];
  #stopped: { readonly error: unknown } | null = null;
  #waiting: (() => void)[] = [];

  constructor(bytes: number) {
    this.#memory = spare.get(bytes)?.pop() ?? new SharedArrayBuffer(bytes);
  }

  /**
   * Waits for room. A part that is kept while others are asked for is to lie at an end, so that the rest stays in one piece: as long as there is one such
   * part, and two parts together are no larger than all of it, nobody waits for ever. Throws what `stop` was given.
   */
  async take(bytes: number, place: 'end' | 'anywhere'): Promise<BytesAt> {
    for (;;) {
      if (this.#stopped) throw this.#stopped.error;
      const from = this.#room(bytes).find((start) => place === 'anywhere' || start === 0 || start + bytes === this.#memory.byteLength);
      if (from !== undefined) {
        const part = { memory: this.#memory, from, bytes };
        this.#lent = [...this.#lent, part].sort((a, b) => a.from - b.from);
        return part;
      }
      await new Promise<void>((changed) => this.#waiting.push(changed));
    }
  }

  /** Places where so many bytes would fit: at the start and at the end of every gap. */
  #room(bytes: number): number[] {
    const places: number[] = [];
    let at = 0;
    for (const { from, bytes: lent } of [...this.#lent, { from: this.#memory.byteLength, bytes: 0 }]) {
      if (from - at >= bytes) places.push(at, from - bytes);
      at = from + lent;
    }
    return places;
  }

  give(part: BytesAt): void {
    this.#lent = this.#lent.filter((one) => one !== part);
    this.#wake();
  }

  /** Nobody waits any longer: the work has failed. */
  stop(error: unknown): void {
    this.#stopped ??= { error };
    this.#wake();
  }

  /** Throws what `stop` was given. */
  throwIfStopped(): void {
    if (this.#stopped) throw this.#stopped.error;
  }

  /** For the next work; nobody may look at it any longer. */
  close(): void {
    const size = this.#memory.byteLength;
    spare.set(size, [...(spare.get(size) ?? []), this.#memory]);
  }

  #wake(): void {
    for (const changed of this.#waiting.splice(0)) changed();
  }
}
