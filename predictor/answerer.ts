import type { Catalog } from '../catalog/catalog.ts';
import type { Answerer, ModelParts, Tensor } from '../catalog/contract.ts';
import type { Json } from '../core/json.ts';
import type { ModelManifest, ModelShard } from '../core/model.ts';
import { type SafetensorsFile, float32Of, parseSafetensors, tensorBytes } from '../store/safetensors.ts';
import { type ModelStore, NoSuchVersion } from './model-store.ts';

/** Loads what answers for a version, with the adapter of its business model. */
export async function loadAnswerer(
  store: Pick<ModelStore, 'bytes'>,
  catalog: Catalog,
  manifest: Pick<ModelManifest, 'version' | 'businessModel' | 'labels' | 'encoder' | 'tensors' | 'shards' | 'files'>,
): Promise<Answerer> {
  const model = catalog.get(manifest.businessModel.id);
  if (!model)
    throw new NoSuchVersion(
      `v${manifest.version} is a ${manifest.businessModel.id}, which is not in the predictor's catalogue: ${[...catalog.keys()].join(', ')}`,
    );
  const file = manifest.files.find(({ role }) => role === 'answering');
  // Versions from before there was this file have labels and nothing else.
  const answering = file
    ? (JSON.parse((await store.bytes(file)).toString('utf8')) as ModelParts['answering'])
    : { labels: manifest.labels as Json };
  const open = async (shard: ModelShard): Promise<{ readonly bytes: Buffer; readonly parsed: SafetensorsFile }> => {
    const bytes = await store.bytes(shard);
    return { bytes, parsed: parseSafetensors(bytes) };
  };
  // Read and parsed once, however many tensors are in it.
  const read = new Map<string, ReturnType<typeof open>>();
  const tensor = async (name: string): Promise<Tensor> => {
    const info = manifest.tensors[name];
    const shard = manifest.shards.find(({ sha256 }) => sha256 === info?.shard);
    if (!info || !shard) throw new Error(`the manifest of v${manifest.version} has no tensor ${name}`);
    const opened = read.get(shard.sha256) ?? open(shard);
    read.set(shard.sha256, opened);
    const { bytes, parsed } = await opened;
    const found = parsed.tensors.get(name);
    if (!found) throw new Error(`the shard of tensor ${name} of v${manifest.version} does not hold it`);
    return { shape: found.shape, data: float32Of(tensorBytes(bytes, parsed, found), found.dtype, name) };
  };
  const answerer = await model.loadAnswerer({ answering, dim: manifest.encoder.dim, tensor });
  // Whatever the answerer still holds on to: the shards are not part of it.
  read.clear();
  return answerer;
}
