import { buffer } from 'node:stream/consumers';
import { canonicalJsonOf } from '../../core/json.ts';
import type { ModelManifest, StoredManifest } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { parseStoredManifest, wholeManifest } from '../../store/model-manifest.ts';
import { CorruptObject, type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';
import { failure } from '../failure.ts';

/** Create-only: of two writers one wins, and the other's manifest must describe the same model. */
export async function putManifest(store: ObjectStore, key: string, manifest: StoredManifest): Promise<ObjectRef> {
  const bytes = Buffer.from(canonicalJsonOf(manifest), 'utf8');
  const put = await store.putNew(key, bytes);
  if (put.created) return put.ref;
  const stored = await readTwice(store, key);
  const whole = (one: StoredManifest): Promise<ModelManifest> => wholeManifest((ref) => store.read(ref), one);
  if (described(await whole(parsed(key, stored))) !== described(await whole(manifest)))
    throw failure('Fenced', `${key} describes another model: an older attempt of this run has written it`);
  return { ...put.ref, sha256: sha256Hex(stored), bytes: stored.byteLength };
}

/** Nobody knows the digest of what another attempt wrote: two readings that agree are taken for it. Fails with StoreUnavailable. */
async function readTwice(store: ObjectStore, key: string): Promise<Buffer> {
  const first = await readOnce(store, key);
  if (!first.equals(await readOnce(store, key))) throw new StoreUnavailable(`reading ${key} twice gave different bytes`);
  return first;
}

async function readOnce(store: ObjectStore, key: string): Promise<Buffer> {
  const body = await store.stream(key);
  try {
    return await buffer(body);
  } catch (error) {
    throw new StoreUnavailable(`reading ${key} broke off`, { cause: error });
  }
}

function parsed(key: string, stored: Buffer): StoredManifest {
  try {
    return parseStoredManifest(stored, key);
  } catch (error) {
    if (!(error instanceof CorruptObject)) throw error;
    throw failure('Corrupt', `${key} is no manifest: an older attempt of this run has written it, and it is damaged`, error);
  }
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
