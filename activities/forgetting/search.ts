import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import type { ForgettingKey, ForgettingSearch } from '../../core/forgetting.ts';
import { keptTenantPrefix, tenantPrefix } from '../../store/keys.ts';
import { placeOf } from '../../store/object-place.ts';
import { CorruptObject, ObjectMissing, type ObjectStore } from '../../store/object-store.ts';
import { type Needle, RawSearch } from '../../store/raw-search.ts';
import { liveObjects } from '../store-care/live-objects.ts';
import type { ForgettingDependencies } from './forgetting-activities.ts';

const decompress = promisify(zstdDecompress);
/** Examples that have a text too, and objects that still have one: named in a certificate or a state. */
const maxNamed = 20;

export type SearchResult = ForgettingSearch & {
  /** Keys of objects that have a text which nothing explains. */ readonly left: readonly string[];
};

/**
 * Reads every object of the tenant, on every site of the store, compressed ones as they are and unpacked. Live datasets hold none of the rows: a text in
 * one of them belongs to another example, and stays wherever it may be. Whatever else of the customization has a text is left over, but for what is
 * known to be `locked`: that is a residual with a date.
 */
export async function searchStore(
  dependencies: Pick<ForgettingDependencies, 'pool' | 'store' | 'beat'>,
  { tenantId, customizationId }: ForgettingKey,
  { needles, salt }: { readonly needles: readonly Needle[]; readonly salt: string },
  locked: ReadonlySet<string> = new Set(),
): Promise<SearchResult> {
  const { store, beat } = dependencies;
  const { objects: live } = await liveObjects(dependencies, tenantId);
  const isOurs = (key: string): boolean => live.get(key)?.owners.some((owner) => owner.customizationId === customizationId) === true;
  const shared = { texts: new Set<number>(), exampleIds: new Set<string>() };
  for (const key of live.keys()) {
    const place = placeOf(key);
    if (place?.part !== 'bucket' || !isOurs(key)) continue;
    beat();
    const text = await unpacked(store, key);
    if (text === null) continue;
    const search = new RawSearch(needles, salt);
    search.bytes(text);
    if (search.found.size === 0) continue;
    for (const found of search.found) shared.texts.add(found);
    noteExamples(text, needles, salt, shared.exampleIds);
  }
  const alone = needles.filter(({ text }) => !shared.texts.has(text));
  const elsewhere = new Set<string>();
  const left: string[] = [];
  let objects = 0;
  let bytes = 0;
  // A site that is away cannot be vouched for: then there is no answer.
  const sites = store.sites?.map((site) => site.store) ?? [store];
  const prefixes = [tenantPrefix(tenantId), keptTenantPrefix(tenantId)];
  for (const [site, prefix] of sites.flatMap((one) => prefixes.map((each) => [one, each] as const)))
    for await (const { key } of site.list(prefix)) {
      beat();
      const search = new RawSearch(alone, salt);
      try {
        bytes += await search.read(beating(await site.stream(key), beat));
      } catch (error) {
        // It went between the list and now: there is nothing to find in it.
        if (error instanceof ObjectMissing) continue;
        throw error;
      }
      objects += 1;
      const text = key.endsWith('.zst') ? await unpacked(site, key) : null;
      if (text) search.bytes(text);
      if (search.found.size === 0) continue;
      const of = placeOf(key)?.customizationId ?? null;
      const owners = (live.get(key)?.owners ?? []).map((owner) => owner.customizationId);
      const others = [...(of === null ? owners : [of])].filter((one) => one !== customizationId);
      for (const other of others) elsewhere.add(other);
      if ((isOurs(key) || others.length === 0) && !locked.has(key)) left.push(key);
    }
  return {
    objects,
    bytes,
    texts: new Set(needles.map(({ text }) => text)).size,
    shared: { texts: shared.texts.size, exampleIds: [...shared.exampleIds].sort() },
    elsewhere: [...elsewhere].sort(),
    left: left.slice(0, maxNamed),
  };
}

async function* beating(chunks: AsyncIterable<Uint8Array>, beat: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    beat();
    yield chunk;
  }
}

/** Null where it is gone, or cannot be unpacked: the scrub says so. */
async function unpacked(store: ObjectStore, key: string): Promise<Buffer | null> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of (await store.stream(key)) as AsyncIterable<Uint8Array>) chunks.push(chunk);
    return await decompress(Buffer.concat(chunks));
  } catch (error) {
    if (error instanceof ObjectMissing || error instanceof CorruptObject || (error as { code?: string }).code?.startsWith('ZSTD'))
      return null;
    throw error;
  }
}

function noteExamples(text: Buffer, needles: readonly Needle[], salt: string, ids: Set<string>): void {
  for (const line of text.toString('utf8').split('\n')) {
    if (ids.size >= maxNamed) return;
    if (line === '') continue;
    const search = new RawSearch(needles, salt);
    search.bytes(Buffer.from(line, 'utf8'));
    if (search.found.size > 0) ids.add((JSON.parse(line) as { id: string }).id);
  }
}
