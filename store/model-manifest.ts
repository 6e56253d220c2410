import type { BaseManifest, ModelManifest, StoredManifest } from '../core/model.ts';
import { checkBaseManifestRef, parseBaseManifest } from './base-manifest.ts';
import { CorruptObject } from './object-store.ts';

type Parts = Pick<ModelManifest, 'tensors' | 'shards' | 'files'>;
type ReadObject = (ref: { readonly key: string; readonly sha256: string }) => Promise<Uint8Array>;

const formats: readonly string[] = ['modelwright-model/1', 'modelwright-model/2', 'modelwright-model/3'];

/** A stored manifest; the digest of its bytes is right. Throws CorruptObject for what is none that this program knows. */
export function parseStoredManifest(bytes: Uint8Array, key: string): StoredManifest {
  let manifest: Partial<StoredManifest> | null = null;
  try {
    manifest = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<StoredManifest> | null;
  } catch {
    // As with any other document that is no manifest.
  }
  const format = String(manifest?.format);
  if (!manifest || !formats.includes(format))
    throw new CorruptObject(`${key} has the format ${format}, which this program does not know: use a newer one`);
  if ((format === 'modelwright-model/3') !== (manifest.base !== undefined))
    throw new CorruptObject(`${key} has the format ${format} and ${manifest.base ? 'a' : 'no'} manifest of its base model`);
  return manifest as StoredManifest;
}

/** The manifest of a version, and what it has from its base model. Each is verified against its digest. */
export async function readModelManifest(read: ReadObject, ref: { readonly key: string; readonly sha256: string }): Promise<ModelManifest> {
  return await wholeManifest(read, parseStoredManifest(await read(ref), ref.key));
}

/** What is stored of a version together with what it has from its base model. Throws what `read` throws, and CorruptObject. */
export async function wholeManifest(read: ReadObject, stored: StoredManifest): Promise<ModelManifest> {
  const base = await baseManifestOf(read, stored);
  const { base: ref = null, ...own } = stored;
  return base ? { ...own, ...withBase(own, base), base: ref } : { ...own, base: null };
}

/** Null for a version of before format 3. */
export async function baseManifestOf(read: ReadObject, { base, encoder }: StoredManifest): Promise<BaseManifest | null> {
  if (!base) return null;
  checkBaseManifestRef(base);
  return parseBaseManifest(await read(base), base, encoder.name);
}

/**
 * What the version names stands in for what its base names alike: tensors by name, shards by digest, files by path. Of the base's shards those stay that hold
 * a tensor of the version, before its own.
 */
export function withBase(own: Parts, base: Parts): Parts {
  const tensors = { ...base.tensors, ...own.tensors };
  const inBase = Map.groupBy(Object.entries(base.tensors), ([, { shard }]) => shard);
  const ownShards = new Set(own.shards.map(({ sha256 }) => sha256));
  const used = new Set(Object.values(tensors).map(({ shard }) => shard));
  const shards = base.shards
    .filter(({ sha256 }) => used.has(sha256) && !ownShards.has(sha256))
    .map((shard) => {
      const unused = (inBase.get(shard.sha256) ?? []).map(([name]) => name).filter((name) => tensors[name]?.shard !== shard.sha256);
      return unused.length === 0 ? shard : { ...shard, unused: unused.sort() };
    });
  const paths = new Set(own.files.map(({ path }) => path));
  return {
    tensors,
    shards: [...shards, ...own.shards],
    files: [...own.files, ...base.files.filter(({ path }) => !paths.has(path))],
  };
}

/** What `withBase` cannot tell from the base: what a version's own manifest has to name. */
export function withoutBase({ tensors, shards, files }: Parts, base: Parts): Parts {
  const baseFiles = new Map(base.files.map(({ path, key }) => [path, key]));
  return {
    tensors: Object.fromEntries(
      Object.entries(tensors).filter(([name, { shard, offset }]) => {
        const known = base.tensors[name];
        return known?.shard !== shard || known.offset !== offset;
      }),
    ),
    shards: shards.filter(({ scope }) => scope === 'tenant'),
    files: files.filter(({ path, key }) => baseFiles.get(path) !== key),
  };
}
