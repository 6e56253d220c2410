import type { ForgettingKey, ForgettingSearch } from '../../core/forgetting.ts';
import { digestOfKey, keptTenantPrefix, tenantPrefix } from '../../store/keys.ts';
import { placeOf } from '../../store/object-place.ts';
import { type Needle, RawSearch } from '../../store/raw-search.ts';
import { liveObjects } from '../store-care/live-objects.ts';
import type { ForgettingDependencies } from './forgetting-activities.ts';
import { reportUnsearchable } from './report-unsearchable.ts';
import { searchObject } from './search-object.ts';

/** Examples that have a text too, and objects that still have one: named in a certificate or a state. */
const maxNamed = 20;

export type SearchResult = ForgettingSearch & {
  /** Keys of objects that have a text which nothing explains. */ readonly left: readonly string[];
  /** Sentences about objects in which nobody can search, for they are damaged: there is no certificate while there is one. */
  readonly unsearchable: readonly string[];
};

/**
 * Reads every object of the tenant, on every site of the store, compressed ones as they are and unpacked, and compares what it reads with the digest that its
 * key or what refers to it names. Live datasets hold none of the rows: a text in one of them belongs to another example, and stays wherever it may be.
 * Whatever else of the customization has a text is left over, but for what is known to be `locked`: that is a residual with a date.
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
  const sha256Of = (key: string): string | null => live.get(key)?.sha256 ?? digestOfKey(key);
  const unsearchable: string[] = [];
  // A site that is away cannot be vouched for: then there is no answer.
  const sites = store.sites ?? [{ name: null, store }];
  const shared = { texts: new Set<number>(), exampleIds: new Set<string>() };
  for (const key of live.keys()) {
    const place = placeOf(key);
    if (place?.part !== 'bucket' || !isOurs(key)) continue;
    // Either site has the same, where it has it right; what is wrong is found below.
    for (const site of sites) {
      const seen = await searchObject(site.store, { key, sha256: sha256Of(key) }, () => new RawSearch(needles, salt), beat);
      if (seen.state !== 'searched') continue;
      for (const found of seen.search.found) shared.texts.add(found);
      if (seen.search.found.size > 0 && seen.text) noteExamples(seen.text, needles, salt, shared.exampleIds);
      break;
    }
  }
  const alone = needles.filter(({ text }) => !shared.texts.has(text));
  const elsewhere = new Set<string>();
  const left: string[] = [];
  let objects = 0;
  let bytes = 0;
  const prefixes = [tenantPrefix(tenantId), keptTenantPrefix(tenantId)];
  for (const [site, prefix] of sites.flatMap((one) => prefixes.map((each) => [one, each] as const)))
    for await (const { key } of site.store.list(prefix)) {
      beat();
      const seen = await searchObject(site.store, { key, sha256: sha256Of(key) }, () => new RawSearch(alone, salt), beat);
      if (seen.state === 'gone') continue;
      if (seen.state === 'unsearchable') {
        const found = { key, sha256: sha256Of(key), isLive: live.has(key), siteName: site.name, why: seen.why };
        unsearchable.push(await reportUnsearchable(dependencies, tenantId, found));
        continue;
      }
      objects += 1;
      bytes += seen.bytes;
      if (seen.search.found.size === 0) continue;
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
    left: [...new Set(left)].slice(0, maxNamed),
    unsearchable: unsearchable.slice(0, maxNamed),
  };
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
