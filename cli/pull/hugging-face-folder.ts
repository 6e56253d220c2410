import type { ModelManifest } from '../../core/model.ts';
import { baseManifestFile } from '../../store/base-manifest.ts';
import type { Part } from './fetch-part.ts';

export const indexFile = 'model.safetensors.index.json';
export const manifestFile = 'manifest.json';

/** Shards by their names in a Hugging Face folder, in the manifest's order. */
export function shardNames({ shards }: Pick<ModelManifest, 'shards'>): ReadonlyMap<string, string> {
  const five = (n: number): string => String(n).padStart(5, '0');
  return new Map(shards.map(({ sha256 }, i) => [sha256, `model-${five(i + 1)}-of-${five(shards.length)}.safetensors`]));
}

/** What plain transformers and safetensors find tensors by. */
export function tensorIndex(manifest: Pick<ModelManifest, 'shards' | 'tensors'>): string {
  const names = shardNames(manifest);
  const tensors = Object.entries(manifest.tensors).sort(([a], [b]) => (a < b ? -1 : 1));
  const index = {
    metadata: { total_size: tensors.reduce((sum, [, { bytes }]) => sum + bytes, 0) },
    weight_map: Object.fromEntries(tensors.map(([name, { shard }]) => [name, names.get(shard)])),
  };
  return `${JSON.stringify(index, null, 2)}\n`;
}

/** The shards and files of a version under their names in a folder, and then the manifest of its base model. */
export function folderParts(manifest: Pick<ModelManifest, 'shards' | 'files' | 'base'>): Part[] {
  const names = shardNames(manifest);
  return [
    ...manifest.shards.map(({ sha256, bytes }) => ({ path: names.get(sha256) ?? sha256, sha256, bytes })),
    ...manifest.files.map(({ path, sha256, bytes }) => ({ path, sha256, bytes })),
    ...(manifest.base ? [{ path: baseManifestFile(manifest.base), sha256: manifest.base.sha256, bytes: manifest.base.bytes }] : []),
  ];
}
