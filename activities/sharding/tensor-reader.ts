import { buildHeader } from '../../store/safetensors.ts';
import type { HashPool, StreamHash } from './hash-pool.ts';
import type { BytesAt } from './hash-worker.ts';
import type { ShardMemory } from './shard-memory.ts';
import type { PlannedTensor } from './shard-plan.ts';
import { type TensorSource, chunksOf } from './tensor-source.ts';

/** Read at once, and then said to be done. */
const pieceBytes = 4 * 1024 * 1024;

/** Reads the tensors of a file in order, each into the memory that it is given, and hashes the file as a whole where that is asked for. */
export class TensorReader {
  readonly #hashes: HashPool;
  readonly #whole: StreamHash | null;
  readonly #source: TensorSource;
  readonly #chunks: AsyncGenerator<Buffer>;
  readonly #advance: (bytes: number) => void;
  #rest: Buffer = Buffer.alloc(0);
  #at: number;
  #seen: Promise<void> = Promise.resolve();

  /** `header`: hashed before the tensors; null where the file is not hashed as a whole. */
  constructor(source: TensorSource, dataStart: number, hashes: HashPool, header: Uint8Array | null, advance: (bytes: number) => void) {
    this.#hashes = hashes;
    this.#whole = header && hashes.stream();
    this.#source = source;
    this.#at = dataStart;
    // Does not begin before it is asked.
    this.#chunks = chunksOf(source, dataStart, source.bytes - dataStart);
    this.#advance = advance;
    if (header) this.#see(shared(header));
  }

  /** Reads the next bytes of the file to this place. */
  async into(part: BytesAt): Promise<void> {
    const target = new Uint8Array(part.memory, part.from, part.bytes);
    if (this.#source.readInto) await this.#readInto(target);
    else await this.#copyInto(target);
    this.#see(part);
  }

  async #readInto(target: Uint8Array): Promise<void> {
    for (let done = 0; done < target.byteLength; done += pieceBytes) {
      const piece = target.subarray(done, done + pieceBytes);
      await this.#source.readInto?.(piece, this.#at);
      this.#at += piece.byteLength;
      this.#advance(piece.byteLength);
    }
  }

  async #copyInto(target: Uint8Array): Promise<void> {
    for (let done = 0; done < target.byteLength;) {
      if (this.#rest.byteLength === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) throw new RangeError('the file has fewer bytes than its header says');
        this.#rest = next.value;
        this.#advance(next.value.byteLength);
      }
      const taken = this.#rest.subarray(0, target.byteLength - done);
      target.set(taken, done);
      done += taken.byteLength;
      this.#rest = this.#rest.subarray(taken.byteLength);
    }
  }

  /** Reads a tensor piece by piece and keeps nothing of it: its own SHA-256, and that of a shard that holds it alone. */
  async hashed(tensor: PlannedTensor, memory: ShardMemory, pieceBytes: number): Promise<readonly [string, string]> {
    const [own, shard] = [this.#hashes.stream(), this.#hashes.stream()];
    await shard.update(shared(buildHeader([tensor])));
    const running: Promise<void>[] = [];
    for (let left = tensor.bytes; left > 0;) {
      const bytes = Math.min(pieceBytes, left);
      const part = await memory.take(bytes, 'anywhere');
      await this.into(part);
      const done = Promise.all([own.update(part), shard.update(part), this.#seen]);
      running.push(
        done.then(
          () => memory.give(part),
          (error: unknown) => memory.stop(error),
        ),
      );
      left -= bytes;
    }
    await Promise.all(running);
    return [await own.finish(), await shard.finish()];
  }

  /** Settles when all that was read so far is in the digest of the whole: until then it must not be written over. */
  async seen(): Promise<void> {
    await this.#seen;
  }

  /** SHA-256 of the whole file, after its last tensor. */
  async digest(): Promise<string> {
    await this.#seen;
    return (await this.#whole?.finish()) ?? '';
  }

  async close(): Promise<void> {
    await this.#chunks.return(undefined);
  }

  #see(part: BytesAt): void {
    const update = this.#whole?.update(part);
    if (update) this.#seen = Promise.all([this.#seen, update]).then(() => undefined);
    // Looked at by whoever awaits `seen`; until then it is not an error that nobody handles.
    this.#seen.catch(() => undefined);
  }
}

function shared(bytes: Uint8Array): BytesAt {
  const memory = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(memory).set(bytes);
  return { memory, from: 0, bytes: bytes.byteLength };
}
