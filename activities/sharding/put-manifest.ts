import { canonicalJson } from '../../core/json.ts';
import type { ModelManifest } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { failure } from '../failure.ts';

/** Create-only: of two writers one wins, and the other's manifest must describe the same model. */
export async function putManifest(store: ObjectStore, key: string, manifest: ModelManifest): Promise<ObjectRef> {
  const bytes = Buffer.from(canonicalJson(JSON.parse(JSON.stringify(manifest))), 'utf8');
  const put = await store.putNew(key, bytes);
  if (put.created) return put.ref;
  const chunks: Buffer[] = [];
  for await (const chunk of await store.stream(key)) chunks.push(chunk as Buffer);
  const stored = Buffer.concat(chunks);
  if (described(JSON.parse(stored.toString('utf8')) as ModelManifest) !== described(manifest))
    throw failure('Fenced', `${key} describes another model: an older attempt of this run has written it`);
  return { ...put.ref, sha256: sha256Hex(stored), bytes: stored.byteLength };
}

/** What must be equal: the tensors themselves, wherever they are stored, and what they were made of. */
const described = ({ tensors, labels, dataset, trainerDigest, optionsDigest }: ModelManifest): string =>
  JSON.stringify([
    Object.entries(tensors)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { sha256, dtype, shape }]) => [name, sha256, dtype, shape]),
    labels,
    dataset.digest,
    trainerDigest,
    optionsDigest,
  ]);
