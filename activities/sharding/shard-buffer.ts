import { buildHeader } from '../../store/safetensors.ts';
import type { BytesAt } from './hash-worker.ts';
import type { PlannedTensor } from './shard-plan.ts';

type Placed<T> = { readonly tensor: T; readonly offset: number };

/** One shard as it is put together, in memory that threads share. It is a safetensors file from the first byte on. */
export class ShardBuffer<T extends PlannedTensor> {
  readonly #memory: SharedArrayBuffer;
  #placed: readonly Placed<T>[];
  #bytes: number;

  constructor(tensors: readonly T[]) {
    const header = buildHeader(tensors);
    this.#placed = placesOf(tensors, header.byteLength);
    this.#bytes = sizeOfShard(tensors);
    this.#memory = new SharedArrayBuffer(this.#bytes);
    new Uint8Array(this.#memory).set(header);
  }

  /** From the shard's start. */
  get offsets(): readonly Placed<T>[] {
    return this.#placed;
  }

  get whole(): BytesAt {
    return { memory: this.#memory, from: 0, bytes: this.#bytes };
  }

  get content(): Uint8Array {
    return new Uint8Array(this.#memory, 0, this.#bytes);
  }

  partOf(tensor: T): BytesAt {
    const found = this.#placed.find((placed) => placed.tensor === tensor);
    if (!found) throw new RangeError(`the shard has no place for ${tensor.name}`);
    return { memory: this.#memory, from: found.offset, bytes: tensor.bytes };
  }

  /** Leaves these tensors alone, in place: what was before them moves up. */
  keep(tensors: readonly T[]): void {
    const header = buildHeader(tensors);
    const before = new Map(this.#placed.map(({ tensor, offset }) => [tensor, offset]));
    this.#placed = placesOf(tensors, header.byteLength);
    const bytes = new Uint8Array(this.#memory);
    // Each moves towards the start, over what is dropped or has moved: a shorter list has no longer header.
    for (const { tensor, offset } of this.#placed) {
      const from = before.get(tensor) ?? 0;
      bytes.copyWithin(offset, from, from + tensor.bytes);
    }
    bytes.set(header);
    this.#bytes = sizeOfShard(tensors);
  }
}

const sizeOfShard = (tensors: readonly PlannedTensor[]): number =>
  buildHeader(tensors).byteLength + tensors.reduce((sum, { bytes }) => sum + bytes, 0);

function placesOf<T extends PlannedTensor>(tensors: readonly T[], start: number): Placed<T>[] {
  let at = start;
  return tensors.map((tensor) => {
    const offset = at;
    at += tensor.bytes;
    return { tensor, offset };
  });
}
