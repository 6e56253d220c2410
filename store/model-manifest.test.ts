import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../core/json.ts';
import type { StoredManifest } from '../core/model.ts';
import { diffManifests } from '../cli/models/diff-manifests.ts';
import { verifyParts } from '../cli/models/verify-parts.ts';
import { folderSource } from '../cli/models/part-source.ts';
import { folderParts, tensorIndex } from '../cli/pull/hugging-face-folder.ts';
import { sha256Hex } from '../platform/hash.ts';
import { parseTrustedKeys, signingKeys } from '../platform/signing-keys.ts';
import { memoryStore } from '../test/support/memory-store.ts';
import { recorded, recordedBase, recordedFolder, recordedKey, recordedManifest } from '../test/support/recorded-version.ts';
import { largestBaseManifest, packBaseManifest } from './base-manifest.ts';
import { baseManifestKey } from './keys.ts';
import { parseStoredManifest, readModelManifest, wholeManifest, withBase, withoutBase } from './model-manifest.ts';
import { signatureFinding } from './model-signature.ts';
import { CorruptObject, ObjectMissing } from './object-store.ts';

/** The recorded version as it is stored from format 3 on, in a store. */
async function storedAnew() {
  const { signature: _, ...former } = await recordedManifest();
  const base = await recordedBase();
  const { ref, bytes } = packBaseManifest(base);
  const { store, objects } = memoryStore();
  await store.putContent(ref.key, bytes, ref.sha256);
  const stored: StoredManifest = { ...former, format: 'modelwright-model/3', ...withoutBase(former, base), base: ref };
  const read = async (at: { readonly key: string }): Promise<Uint8Array> => await store.read({ key: at.key, sha256: '' });
  return { former, base, ref, bytes, objects, stored, read };
}

describe('a version of format 2', () => {
  it('is read as it was recorded: whole by itself, its signature good, every part of it', async () => {
    const { store } = memoryStore();
    const { ref } = await store.putNew('recorded', await recorded('manifest.json'));
    const manifest = await readModelManifest((at) => store.read(at), ref);
    expect(manifest).toEqual({ ...(await recordedManifest()), base: null });
    expect(signatureFinding(await recordedManifest(), signingKeys(null, parseTrustedKeys(recordedKey)).trusted)).toBe('good');
    expect(await verifyParts(manifest, folderParts(manifest), folderSource(recordedFolder), () => undefined)).toEqual([]);
    expect(tensorIndex(manifest)).toBe((await recorded('model.safetensors.index.json')).toString('utf8'));
  });

  it('is compared with one of format 3 tensor by tensor', async () => {
    const { stored, read } = await storedAnew();
    const diff = diffManifests({ ...(await recordedManifest()), base: null }, await wholeManifest(read, stored));
    expect(diff).toMatchObject({
      comparedBy: 'tensor',
      tensors: { added: [], removed: [], changed: [], unchanged: 7 },
      bytes: { fetched: 0 },
    });
  });
});

describe('a version of format 3', () => {
  it('names only what it does not have from its base model, and is whole together with that', async () => {
    const { former, stored, read, ref } = await storedAnew();
    expect(Object.keys(stored.tensors).sort()).toEqual(['classifier.bias', 'classifier.weight', 'layer.1.bias']);
    expect(stored.shards.map(({ scope }) => scope)).toEqual(['tenant']);
    expect(stored.files.map(({ path }) => path)).toEqual(['labels.json']);
    expect(await wholeManifest(read, stored)).toEqual({ ...former, format: 'modelwright-model/3', base: ref });
  });

  it('lets what it names stand in for what its base names alike, also where it has all of it anew, or a shard of its own with the same bytes', async () => {
    const base = await recordedBase();
    const { tensors, shards } = await recordedManifest();
    const own = shards[4];
    if (!own) throw new Error('no shard of its own');
    const anew = Object.fromEntries(Object.keys(base.tensors).map((name) => [name, { ...tensors[name], shard: own.sha256 } as never]));
    const config = { ...base.files[0], key: 'tenants/acme/files/x', scope: 'tenant' } as never;
    expect(withBase({ tensors: anew, shards: [own], files: [config] }, base)).toEqual({
      tensors: anew,
      shards: [own],
      files: [config, ...base.files.slice(1)],
    });
    const twin = { ...base.shards[0], key: 'tenants/acme/shards/x', scope: 'tenant' } as never;
    expect(withBase({ tensors: {}, shards: [twin], files: [] }, base).shards).toEqual([...base.shards.slice(1), twin]);
  });

  it('keeps its bytes: a reader of another release takes what is stored now', async () => {
    const { ref, bytes, stored } = await storedAnew();
    expect(ref.key).toBe(`base/manifests/${ref.sha256}.json`);
    expect(ref).toEqual({ key: baseManifestKey(sha256Hex(bytes)), sha256: sha256Hex(bytes), bytes: bytes.byteLength });
    expect(ref.sha256).toBe('4951792698ebf2e3ecbd01565692cb31e8af6420ed1c2e7ba79b3726e68a87b9');
    expect(sha256Hex(canonicalJson(JSON.parse(JSON.stringify(stored))))).toBe(
      'f94dbfc6b74e320c0bb2ed691641e7c34492e5042625f97e40c2b1f7f944368a',
    );
  });
});

describe('the manifest of a base model', () => {
  const reading = async (change: (scene: Awaited<ReturnType<typeof storedAnew>>) => Partial<StoredManifest> | void): Promise<unknown> => {
    const scene = await storedAnew();
    const changed = { ...scene.stored, ...change(scene) };
    return await wholeManifest(scene.read, changed).catch((error: unknown) => error);
  };
  /** Stores other bytes where their digest says, and lets the version name them. */
  const naming = (bytes: Buffer) => (scene: Awaited<ReturnType<typeof storedAnew>>) => {
    const base = { key: baseManifestKey(sha256Hex(bytes)), sha256: sha256Hex(bytes), bytes: bytes.byteLength };
    scene.objects.set(base.key, bytes);
    return { base };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

  it('that is not there is missing', async () => {
    expect(await reading(({ objects, ref }) => void objects.delete(ref.key))).toBeInstanceOf(ObjectMissing);
  });

  it.each<[string, Parameters<typeof reading>[0], RegExp]>([
    [
      'has other bytes than its digest says',
      ({ objects, ref, bytes }) => void objects.set(ref.key, Buffer.concat([bytes.subarray(0, -1), Buffer.from(' ')])),
      /does not have the SHA-256/,
    ],
    ['is longer than the version says', ({ ref }) => ({ base: { ...ref, bytes: ref.bytes - 1 } }), /does not have the SHA-256/],
    [
      'would be too large',
      ({ ref }) => ({ base: { ...ref, bytes: largestBaseManifest + 1 } }),
      /no manifest of a base model has more than/,
    ],
    ['lies elsewhere', ({ ref }) => ({ base: { ...ref, key: 'tenants/other/files/x' } }), /is not where the manifest of a base model lies/],
    ['is not JSON', naming(Buffer.from('{"format"')), /is not the manifest of a base model/],
    ['is that of a version', naming(json({ format: 'modelwright-model/2' })), /is not the manifest of a base model/],
    ['has a later format', naming(json({ format: 'modelwright-base/2', name: 'tiny', tensors: {}, shards: [], files: [] })), /format/],
  ])('that %s is refused', async (_, change, said) => {
    const error = await reading(change);
    expect(error).toBeInstanceOf(CorruptObject);
    expect(String(error)).toMatch(said);
  });

  it('of another base model is refused, and so is one that names parts of tenants', async () => {
    const base = await recordedBase();
    expect(String(await reading(naming(packBaseManifest({ ...base, name: 'other' }).bytes)))).toMatch(
      /is the manifest of the base model other, not of tiny/,
    );
    const astray = { ...base, shards: base.shards.map((shard) => ({ ...shard, key: 'tenants/other/shards/x.safetensors' })) };
    expect(String(await reading(naming(packBaseManifest(astray).bytes)))).toMatch(
      /names tenants\/other.*not where parts of base models lie/,
    );
  });
});

describe('a stored manifest', () => {
  it.each([
    ['of a format to come', { format: 'modelwright-model/4' }, /has the format modelwright-model\/4, which this program does not know/],
    [
      'of format 3 without its base',
      { format: 'modelwright-model/3' },
      /has the format modelwright-model\/3 and no manifest of its base model/,
    ],
    ['of format 2 with one', { format: 'modelwright-model/2', base: {} }, /has the format modelwright-model\/2 and a manifest/],
    ['of nothing', null, /has the format undefined/],
  ])('%s is refused', (_, value, said) => {
    expect(() => parseStoredManifest(Buffer.from(JSON.stringify(value)), 'x')).toThrow(said);
  });
});
