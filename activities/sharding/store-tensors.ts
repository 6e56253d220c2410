import { Readable } from 'node:stream';
import type { ModelManifest, ModelShard, ModelTensor, StoreScope } from '../../core/model.ts';
import { CorruptObject, type ObjectStore } from '../../store/object-store.ts';
import { buildHeader } from '../../store/safetensors.ts';
import { createHashPool } from './hash-pool.ts';
import type { TensorDescription } from './known-tensors.ts';
import { ShardBuffer, sizeOfShard } from './shard-buffer.ts';
import { ShardMemory } from './shard-memory.ts';
import { type PlannedTensor, largestShard, planShards } from './shard-plan.ts';
import { TensorReader } from './tensor-reader.ts';
import { Turns } from './turns.ts';
import { type Header, type TensorSource, fileSource, headerOf, streamOf } from './tensor-source.ts';

export type StoredTensors = {
  readonly tensors: ModelManifest['tensors'];
  /** Those that were made of this file; what of it is stored elsewhere is in shards of its own. */
  readonly shards: readonly ModelShard[];
  /** Bytes that were not in the store before. */
  readonly created: number;
};

/** Says that the work goes on, and how far it is. */
export type Beat = (progress?: { readonly doneBytes: number; readonly totalBytes: number }) => void;

export type SharderOptions = {
  /** About how large shards are. */
  readonly shardBytes?: number;
  /** Of the whole file, where it must be checked. */
  readonly sha256?: string;
  /** Of the file, where it was read already. */
  readonly header?: Header;
  /** Where a tensor is stored already, null where it is not. Asked in the same order for the same file. */
  readonly reuse?: (name: string, tensor: TensorDescription) => ModelTensor | null;
};

export const defaultShardBytes = 32 * 1024 * 1024;
/** Uploads at once: more are no faster (ENGINES.md). */
const parallelUploads = 4;
const pieceBytes = 4 * 1024 * 1024;

type Planned = PlannedTensor & { readonly begin: number };
type Group = {
  readonly tensors: readonly Planned[];
  readonly bytes: number;
  readonly at: number;
  missing: number;
  buffer: ShardBuffer<Planned> | null;
};

/**
 * Cuts a safetensors file into shards, each a safetensors file named by its SHA-256, and stores those that are new. Reads the file once, in order, and
 * holds two and a half targets of bytes at most, whatever its size; hashes in threads; uploads while it reads. What a former try has stored is not sent again.
 */
export async function storeTensors(
  store: ObjectStore,
  from: string | TensorSource,
  scope: StoreScope,
  keyOf: (sha256: string) => string,
  beat: Beat,
  { shardBytes = defaultShardBytes, sha256, header: known, reuse = () => null }: SharderOptions = {},
): Promise<StoredTensors> {
  const source = typeof from === 'string' ? await fileSource(from) : from;
  const { block, parsed } = known ?? (await headerOf(source));
  const ordered = [...parsed.tensors]
    .sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
    .map(([name, { dtype, shape, begin, end }]) => ({ name, dtype, shape, bytes: end - begin, begin }));
  const groups: Group[] = planShards(ordered, shardBytes).map((tensors, at) => ({
    tensors,
    bytes: sizeOfShard(tensors),
    at,
    missing: tensors.length,
    buffer: null,
  }));
  const groupOf = new Map(groups.flatMap((group) => group.tensors.map((tensor) => [tensor, group] as const)));

  const hashes = createHashPool(source.bytes);
  /** Read twice, piece by piece, instead of once into memory. */
  const isLarge = ({ bytes }: PlannedTensor): boolean => bytes > largestShard(shardBytes);
  const largest = Math.max(0, ...groups.filter(({ tensors: [first] }) => first && !isLarge(first)).map(({ bytes }) => bytes));
  // One shard that waits for its last tensors, and one that is read meanwhile: with less they would wait for each other.
  const memory = new ShardMemory(Math.max(2 * largestShard(shardBytes), 2 * largest));
  const uploads = new Turns(parallelUploads);
  const tensors = new Map<string, ModelTensor>();
  const shards = new Map<number, ModelShard>();
  let created = 0;
  let doneBytes = block.byteLength;
  const advance = (bytes: number): void => beat({ doneBytes: (doneBytes += bytes), totalBytes: source.bytes });

  /** True for the tensors that must be stored; the place of the others is noted. */
  const isNew = (tensor: Planned, digest: string): boolean => {
    const { name, dtype, shape, bytes } = tensor;
    const known = reuse(name, { dtype, shape, bytes, sha256: digest });
    if (known) tensors.set(name, known);
    return known === null;
  };
  const note = async (
    at: number,
    shard: string,
    bytes: number,
    content: readonly { readonly tensor: Planned; readonly offset: number; readonly sha256: string }[],
    send: (key: string) => Promise<{ readonly created: boolean }>,
  ): Promise<void> => {
    await uploads.take();
    try {
      const key = keyOf(shard);
      if ((await send(key)).created) created += bytes;
      shards.set(at, { sha256: shard, bytes, key, scope });
      for (const { tensor, offset, sha256: digest } of content) {
        const { name, dtype, shape } = tensor;
        tensors.set(name, { shard, dtype, shape, bytes: tensor.bytes, offset, sha256: digest });
      }
    } finally {
      uploads.give();
    }
  };

  // Decisions are taken in one order, whichever digest is there first.
  let decided: Promise<unknown> = Promise.resolve();
  const inOrder = async <T>(digests: Promise<T>, decide: (digests: T) => void): Promise<void> => {
    const turn = Promise.all([decided, digests]).then(([, found]) => decide(found));
    decided = turn;
    await turn;
  };
  /** `read`: nobody else looks at the buffer any longer. Takes its place in the order at once. */
  const storeGroup = async (group: Group, buffer: ShardBuffer<Planned>, read: Promise<void>): Promise<void> => {
    let kept: { readonly tensor: Planned; readonly sha256: string }[] = [];
    const hashed = read.then(() => hashes.digests(group.tensors.map((tensor) => buffer.partOf(tensor))));
    await inOrder(hashed, (digests) => {
      kept = group.tensors.map((tensor, i) => ({ tensor, sha256: digests[i] ?? '' })).filter((one) => isNew(one.tensor, one.sha256));
    });
    if (kept.length === 0) return;
    if (kept.length < group.tensors.length) buffer.keep(kept.map(({ tensor }) => tensor));
    const { whole, content, offsets } = buffer;
    const [shard = ''] = await hashes.digests([whole]);
    const placed = kept.map((one, i) => ({ ...one, offset: offsets[i]?.offset ?? 0 }));
    await note(group.at, shard, whole.bytes, placed, (key) => store.putContent(key, content, shard));
  };
  const storeLarge = async (group: Group, tensor: Planned, digests: readonly [string, string]): Promise<void> => {
    let mustStore = false;
    await inOrder(Promise.resolve(digests), ([digest]) => void (mustStore = isNew(tensor, digest)));
    if (!mustStore) return;
    const header = buildHeader([tensor]);
    const bytes = header.byteLength + tensor.bytes;
    const again = async function* (): AsyncGenerator<Uint8Array> {
      yield header;
      yield* streamOf(source, () => advance(0), parsed.dataStart + tensor.begin, tensor.bytes) as AsyncIterable<Buffer>;
    };
    const open = (): Promise<Readable> => Promise.resolve(Readable.from(again(), { objectMode: false }));
    const [digest, shard] = digests;
    await note(group.at, shard, bytes, [{ tensor, offset: header.byteLength, sha256: digest }], (key) =>
      store.putContentStream(key, { bytes, sha256: shard, open }),
    );
  };

  const running: Promise<void>[] = [];
  const start = (work: Promise<void>): void => void running.push(work.catch((error: unknown) => memory.stop(error)));
  const reader = new TensorReader(source, parsed.dataStart, hashes, sha256 === undefined ? null : block, advance);
  try {
    for (const tensor of ordered) {
      const group = groupOf.get(tensor) as Group;
      if (isLarge(tensor)) {
        start(storeLarge(group, tensor, await reader.hashed(tensor, memory, Math.min(pieceBytes, shardBytes))));
        continue;
      }
      // One of several tensors stays open while others are read.
      group.buffer ??= new ShardBuffer(group.tensors, await memory.take(group.bytes, group.tensors.length > 1 ? 'end' : 'anywhere'));
      await reader.into(group.buffer.partOf(tensor));
      group.missing -= 1;
      if (group.missing > 0) continue;
      const { buffer } = group;
      group.buffer = null;
      start(storeGroup(group, buffer, reader.seen()).finally(() => memory.give(buffer.memory)));
    }
    if (sha256 !== undefined && (await reader.digest()) !== sha256)
      throw new CorruptObject(`${source.name} does not have the SHA-256 that the trainer named`);
  } finally {
    await Promise.all(running);
    await reader.close();
    await hashes.close();
    memory.close();
  }
  memory.throwIfStopped();
  const inPlan = [...shards].sort(([a], [b]) => a - b).map(([, shard]) => shard);
  return { tensors: Object.fromEntries(ordered.map(({ name }) => [name, tensors.get(name) as ModelTensor])), shards: inPlan, created };
}
