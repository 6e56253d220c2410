import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoredManifest } from '../../core/model.ts';
import { projectDir } from '../../platform/paths.ts';
import { parseStoredManifest } from '../../store/model-manifest.ts';
import { parseSafetensors } from '../../store/safetensors.ts';

/** A version as a release that wrote format 2 has published it, and as it was pulled then. */
export const recordedFolder = join(projectDir, 'test/recorded/model-format-2');
/** Of the key that signed it. */
export const recordedKey = 'bnoc3Smwt4/ROvTFWY/v9O8qlxZuPKby5Pv8zYBQW/E=';
export const recorded = (path: string): Promise<Buffer> => readFile(join(recordedFolder, path));
export const recordedManifest = async (): Promise<StoredManifest> =>
  parseStoredManifest(await recorded('manifest.json'), 'the recorded manifest');

/** What the recorded version has from its base model, as the base model itself has it. */
export async function recordedBase(): Promise<Pick<StoredManifest, 'tensors' | 'shards' | 'files'> & { readonly name: string }> {
  const { tensors, shards, files, encoder } = await recordedManifest();
  const ofBase = Object.fromEntries(
    Object.entries(tensors).filter(([, { shard }]) => shards.some((one) => one.sha256 === shard && one.scope === 'base')),
  );
  // The version has this one anew; the base's lies in the third shard.
  const bytes = await recorded('model-00003-of-00005.safetensors');
  const parsed = parseSafetensors(bytes);
  const info = parsed.tensors.get('layer.1.bias');
  const shard = shards[2];
  if (!info || !shard) throw new Error('the recorded version is not the one that was recorded');
  const place = {
    shard: shard.sha256,
    dtype: info.dtype,
    shape: info.shape,
    bytes: info.end - info.begin,
    offset: parsed.dataStart + info.begin,
  };
  return {
    name: encoder.name,
    tensors: { ...ofBase, 'layer.1.bias': { ...place, sha256: '5'.repeat(64) } },
    shards: shards
      .filter(({ scope }) => scope === 'base')
      .map(({ sha256, bytes: size, key, scope }) => ({ sha256, bytes: size, key, scope })),
    files: files.filter(({ scope }) => scope === 'base'),
  };
}
