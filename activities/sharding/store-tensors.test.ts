import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelManifest } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { withBase, withoutBase } from '../../store/model-manifest.ts';
import { CorruptObject, StoreUnavailable } from '../../store/object-store.ts';
import { SafetensorsError, buildHeader, parseSafetensors, tensorBytes } from '../../store/safetensors.ts';
import { memoryStore } from '../../test/support/memory-store.ts';
import { KnownTensors } from './known-tensors.ts';
import { type SharderOptions, storeTensors } from './store-tensors.ts';
import { type TensorSource, stagedSource } from './tensor-source.ts';

/** Small, so that small models have many shards; a tensor of more than 1.25 MiB is not held in memory. */
const shardBytes = 1024 * 1024;
const beat = (): void => undefined;
const keyOf = (sha256: string): string => `shards/${sha256}`;

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'mw-shards-'))));
afterAll(async () => await rm(folder, { recursive: true, force: true }));

/** Tensor name -> a byte that it is filled with, and how many there are. */
type Contents = Readonly<Record<string, readonly [byte: number, bytes: number]>>;
const fileOf = (contents: Contents): Buffer =>
  Buffer.concat([
    buildHeader(Object.entries(contents).map(([name, [, bytes]]) => ({ name, dtype: 'U8', shape: [bytes], bytes }))),
    ...Object.values(contents).map(([byte, bytes]) => Buffer.alloc(bytes, byte)),
  ]);
/** Thirty tensors, some larger than shards, two larger than what is held in memory. */
const contents: Contents = Object.fromEntries(
  Array.from({ length: 30 }, (_, i) => [`layer.${i}`, [i + 1, i % 13 === 0 ? 5_000_003 : i % 5 === 0 ? 900_000 : 90_001 + i]] as const),
);

async function stored(store: ReturnType<typeof memoryStore>['store'], file: Buffer, options: SharderOptions = {}) {
  const path = join(folder, sha256Hex(file));
  await writeFile(path, file);
  return await storeTensors(store, path, 'tenant', keyOf, beat, { shardBytes, ...options });
}

/** Every tensor of the map is in the store as the map says, and equal to the file's; every shard is a safetensors file of its name. */
function expectWhole(objects: ReadonlyMap<string, Buffer>, tensors: ModelManifest['tensors'], file: Buffer): void {
  const parsed = parseSafetensors(file);
  expect(Object.keys(tensors).sort()).toEqual([...parsed.tensors.keys()].sort());
  const opened = new Map(
    [...new Set(Object.values(tensors).map(({ shard }) => shard))].map((shard) => {
      const bytes = objects.get(keyOf(shard)) ?? Buffer.alloc(0);
      expect(sha256Hex(bytes)).toBe(shard);
      return [shard, { bytes, inside: parseSafetensors(bytes) }] as const;
    }),
  );
  for (const [name, { shard, offset = -1, bytes, sha256, dtype, shape }] of Object.entries(tensors)) {
    const info = parsed.tensors.get(name);
    const wanted = info ? tensorBytes(file, parsed, info) : new Uint8Array(0);
    const found = opened.get(shard);
    expect(found?.bytes.subarray(offset, offset + bytes).equals(wanted)).toBe(true);
    expect(sha256).toBe(sha256Hex(wanted));
    expect(found?.inside.tensors.get(name)).toMatchObject({ dtype, shape });
  }
}

describe('the sharder', () => {
  it('stores every tensor once, with its digest and place, the same however often', async () => {
    const { store, objects } = memoryStore();
    const file = fileOf(contents);
    const first = await stored(store, file, { sha256: sha256Hex(file) });
    expectWhole(objects, first.tensors, file);
    expect(first.shards.length).toBeGreaterThan(8);
    expect(first.created).toBe([...objects.values()].reduce((sum, { byteLength }) => sum + byteLength, 0));
    const again = await stored(store, file);
    expect(again).toEqual({ ...first, created: 0 });
  });

  it('goes on with the shards that a try which broke off has not stored', async () => {
    let puts = 0;
    const sent: string[] = [];
    const { store, objects } = memoryStore((key) => {
      puts += 1;
      if (puts === 5) throw new StoreUnavailable('storing failed');
      sent.push(key);
    });
    const file = fileOf(contents);
    await expect(stored(store, file)).rejects.toThrow('storing failed');
    expectWhole(objects, (await stored(store, file)).tensors, file);
    // Nothing was sent twice.
    expect(new Set(sent).size).toBe(sent.length);
  });

  it('reads on where a stream breaks off, and tells how far it is', async () => {
    const { store, objects } = memoryStore();
    const file = fileOf(contents);
    objects.set('staged', file);
    let opened = 0;
    const source: TensorSource = {
      name: 'staged',
      bytes: file.byteLength,
      open: (from, bytes) => {
        opened += 1;
        return Promise.resolve(
          Readable.from(
            (async function* () {
              const all = file.subarray(from, from + bytes);
              yield await Promise.resolve(all.subarray(0, 3_000_000));
              if (all.byteLength > 3_000_000) throw new Error('the connection was reset');
            })(),
          ),
        );
      },
    };
    const progress: number[] = [];
    const { tensors } = await storeTensors(
      store,
      source,
      'tenant',
      keyOf,
      (now) => {
        if (now) progress.push(now.doneBytes);
      },
      { shardBytes, sha256: sha256Hex(file) },
    );
    expectWhole(objects, tensors, file);
    expect(opened).toBeGreaterThan(5);
    expect(progress.at(-1)).toBe(file.byteLength);
    const ref = { bucket: store.bucket, key: 'staged', sha256: sha256Hex(file), bytes: file.byteLength };
    expect((await storeTensors(store, stagedSource(store, ref), 'tenant', keyOf, beat, { shardBytes })).tensors).toEqual(tensors);
  });

  it('refuses a file that is not the one that was named, and a stream that only ever breaks off', async () => {
    const { store } = memoryStore();
    const file = fileOf(contents);
    await expect(stored(store, file, { sha256: '00' })).rejects.toThrow(CorruptObject);
    const source: TensorSource = { name: 'gone', bytes: 100, open: () => Promise.reject(new Error('reset')) };
    await expect(storeTensors(store, source, 'tenant', keyOf, beat)).rejects.toThrow(/gone broke off at byte 0/);
  });

  it.each([
    ['a pickle', Buffer.from('80028a0a6cfc9c46f9206aa85019', 'hex'), /staged: header of \d+ bytes.* begins like a Python pickle/],
    [
      'a bomb of a length',
      Buffer.concat([Buffer.from('e0c7e70500000000', 'hex'), Buffer.alloc(8)]),
      /staged: a header of 99076072 bytes in a file of 16/,
    ],
    ['a file that was cut off', Buffer.from('ff', 'hex'), /staged: shorter than the 8 bytes/],
  ])('refuses %s before anything is stored, and names it', async (_, content, said) => {
    const { store: empty, objects } = memoryStore();
    const { ref } = await empty.putNew('staged', content);
    const sharded = storeTensors(empty, stagedSource(empty, ref), 'tenant', keyOf, beat);
    await expect(sharded).rejects.toThrow(SafetensorsError);
    await expect(sharded).rejects.toThrow(said);
    expect([...objects.keys()]).toEqual(['staged']);
  });

  it('ends when the activity is cancelled', async () => {
    const { store } = memoryStore();
    const path = join(folder, 'cancelled');
    await writeFile(path, fileOf(contents));
    const cancelled = (): never => {
      throw new Error('cancelled');
    };
    await expect(storeTensors(store, path, 'tenant', keyOf, cancelled, { shardBytes })).rejects.toThrow('cancelled');
  });
});

describe('a version after another', () => {
  const contentsOfBase: Contents = Object.fromEntries(Object.entries(contents).slice(1, 13));
  const nothing = { tensors: {}, shards: [] };

  /** Publishes versions one after the other as the activity does: own tensors over those of the base. */
  async function versions(...own: readonly Contents[]) {
    const { store, objects } = memoryStore();
    const path = join(folder, 'base');
    await writeFile(path, fileOf(contentsOfBase));
    const shared = await storeTensors(store, path, 'base', keyOf, beat, { shardBytes });
    const base = { ...shared, files: [] };
    let parent: Pick<ModelManifest, 'tensors' | 'shards'> | null = null;
    const made = [];
    for (const contentsOfVersion of own) {
      const known: KnownTensors = new KnownTensors(shared, parent, new Set(Object.keys(contentsOfVersion)));
      const before = objects.size;
      const result = await stored(store, fileOf(contentsOfVersion), { reuse: (name, tensor) => known.reuse(name, tensor) });
      const tensors: ModelManifest['tensors'] = { ...shared.tensors, ...result.tensors };
      parent = { tensors, shards: known.shardsOf(tensors, result.shards) };
      expectWhole(objects, tensors, fileOf({ ...contentsOfBase, ...contentsOfVersion }));
      expectLastCounts(objects, parent);
      // What is stored of it, beside its base, is enough.
      const whole = { ...parent, files: [] };
      expect(withBase(withoutBase(whole, base), base)).toEqual(whole);
      made.push({ ...parent, created: result.created, objects: objects.size - before });
    }
    return made;
  }
  /** Plain tools read all tensors of all files in order: the last of a name must be the one that counts. */
  function expectLastCounts(objects: ReadonlyMap<string, Buffer>, { tensors, shards }: Pick<ModelManifest, 'tensors' | 'shards'>): void {
    const last = new Map<string, string>();
    for (const { sha256, unused = [] } of shards) {
      const inside = parseSafetensors(objects.get(keyOf(sha256)) ?? Buffer.alloc(0));
      for (const name of inside.tensors.keys()) last.set(name, sha256);
      const here = [...inside.tensors.keys()].filter((name) => tensors[name]?.shard !== sha256);
      expect(unused).toEqual(here.sort());
    }
    expect(Object.fromEntries(last)).toEqual(Object.fromEntries(Object.entries(tensors).map(([name, { shard }]) => [name, shard])));
  }

  it('stores what is new in it and 1 % more at most', async () => {
    const head: Contents = { 'head.weight': [101, 200_000], 'head.bias': [102, 80] };
    const [first, second, third, fourth] = await versions(
      { ...contentsOfBase, ...head },
      // A head that has learned more.
      { ...contentsOfBase, ...head, 'head.weight': [103, 200_000] },
      // Two tensors of the base, as merged LoRA changes some.
      { ...contentsOfBase, ...head, 'layer.3': [104, 90_004], 'layer.5': [105, 900_000] },
      { ...contentsOfBase, ...head, 'layer.3': [104, 90_004], 'layer.5': [105, 900_000] },
    );
    expect(first?.created).toBeLessThanOrEqual(200_080 * 1.01);
    expect(second?.created).toBeLessThanOrEqual(200_000 * 1.01);
    expect(third?.created).toBeLessThanOrEqual((990_004 + 200_000) * 1.01);
    expect(fourth?.created).toBe(0);
  });

  it('does not take a tensor for another of its bytes: name, type and shape count', async () => {
    const known = new KnownTensors(
      nothing,
      { tensors: { a: { shard: 's', dtype: 'U8', shape: [4], bytes: 4, offset: 8, sha256: 'd' } }, shards: [] },
      new Set(),
    );
    expect(known.reuse('a', { dtype: 'U8', shape: [4], bytes: 4, sha256: 'd' })).toBeNull();
    const shards = [{ sha256: 's', bytes: 12, key: 'k', scope: 'tenant' as const }];
    const tensors = { a: { shard: 's', dtype: 'U8', shape: [4], bytes: 4, offset: 8, sha256: 'd' } };
    const again = new KnownTensors(nothing, { tensors, shards }, new Set(['a']));
    expect(again.reuse('a', { dtype: 'I8', shape: [4], bytes: 4, sha256: 'd' })).toBeNull();
    expect(again.reuse('a', { dtype: 'U8', shape: [2, 2], bytes: 4, sha256: 'd' })).toBeNull();
    expect(again.reuse('b', { dtype: 'U8', shape: [4], bytes: 4, sha256: 'd' })).toBeNull();
    expect(again.reuse('a', { dtype: 'U8', shape: [4], bytes: 4, sha256: 'd' })).toEqual(tensors.a);
  });

  it('reads right for plain tools too, whatever was changed and taken back', async () => {
    let state = 7;
    const next = (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below;
    for (let chain = 0; chain < 10; chain += 1) {
      const made = Array.from({ length: 6 }, () => {
        const names = Object.keys(contentsOfBase).filter(() => next(3) > 0);
        const own: Record<string, readonly [number, number]> = { head: [next(2), 50] };
        for (const name of names) own[name] = next(3) === 0 ? [200 + next(3), 1_000] : (contentsOfBase[name] ?? [0, 0]);
        return own;
      });
      expect(await versions(...made)).toHaveLength(6);
    }
  });
});
