import { CorruptObject, ObjectMissing, type ObjectStore, type StoreSite, StoreUnavailable } from './object-store.ts';
import type { OwedObjects } from './owed-objects.ts';
import { SiteHealth } from './site-health.ts';
import { TenantUnplaced } from './tenant-placements.ts';

export type SiteProblem = { readonly site: StoreSite; readonly error: Error };

const sentence = ({ site, error }: SiteProblem): string => `${site.name} site: ${error.message}`;

/** What neither site could do. One that did not answer may have it: then nothing is called missing. */
export function worstOf(problems: readonly SiteProblem[]): Error {
  const said = problems.map(sentence).join('; ');
  const cause = problems[0]?.error;
  if (problems.some(({ error }) => error instanceof StoreUnavailable)) return new StoreUnavailable(said, { cause });
  if (problems.some(({ error }) => error instanceof CorruptObject)) return new CorruptObject(said, { cause });
  return new ObjectMissing(said, { cause });
}

/** Asks two sites: one and then the other, or both. */
export class TwoSites {
  readonly sites: readonly [StoreSite, StoreSite];
  readonly health = new SiteHealth();
  readonly #owed: OwedObjects;

  constructor(sites: readonly [StoreSite, StoreSite], owed: OwedObjects) {
    this.sites = sites;
    this.#owed = owed;
  }

  other(site: StoreSite): StoreSite {
    return site === this.sites[0] ? this.sites[1] : this.sites[0];
  }

  async ask<T>(site: StoreSite, work: (store: ObjectStore) => Promise<T>): Promise<T> {
    try {
      const answer = await work(site.store);
      this.health.here(site);
      return answer;
    } catch (error) {
      // Which bucket is asked is not known here: that says nothing of the site.
      if (error instanceof StoreUnavailable && !(error instanceof TenantUnplaced)) this.health.away(site);
      throw error;
    }
  }

  /**
   * The first good answer. `exists`: a reference names the object, so that it is not called missing while a site cannot be asked. Otherwise it is, unless
   * it is on record that the site which says so lacks it.
   */
  async either<T>(key: string, work: (store: ObjectStore, site: StoreSite) => Promise<T>, exists: boolean): Promise<T> {
    const problems: SiteProblem[] = [];
    for (const site of this.health.order(this.sites, key)) {
      try {
        const answer = await this.ask(site, (store) => work(store, site));
        for (const { site: wrong, error } of problems)
          if (error instanceof CorruptObject || (exists && error instanceof ObjectMissing)) await this.distrust(wrong, key, error.message);
        return answer;
      } catch (error) {
        if (!(error instanceof StoreUnavailable || error instanceof ObjectMissing || error instanceof CorruptObject)) throw error;
        problems.push({ site, error });
      }
    }
    const missing = problems.find(({ error }) => error instanceof ObjectMissing);
    if (!exists && missing && !problems.some(({ error }) => error instanceof CorruptObject) && !(await this.#owed.has(missing.site, key)))
      throw missing.error;
    throw worstOf(problems);
  }

  /** The other one has been right about this object. Who reads is not told when that cannot be put on record: the scrub finds it too. */
  async distrust(site: StoreSite, key: string, reason: string): Promise<void> {
    this.health.suspect(site, key);
    await this.#owed.note(site, [key], 'copy', reason).catch(() => undefined);
  }

  /** Both do it. One that is away is put on record before this returns, and it is an error only if neither could. Returns an answer, the first site's if it gave one. */
  async both<T>(
    keys: readonly string[],
    work: (store: ObjectStore, site: StoreSite) => Promise<T>,
    what: 'copy' | 'removal' = 'copy',
  ): Promise<T> {
    const someoneIsHere = this.sites.some((site) => !this.health.isAway(site));
    const results = await Promise.allSettled(
      this.sites.map(async (site) => {
        if (someoneIsHere && this.health.isAway(site)) throw new StoreUnavailable('it did not answer a moment ago');
        return await this.ask(site, (store) => work(store, site));
      }),
    );
    const problems: SiteProblem[] = [];
    const answers: T[] = [];
    for (const [index, site] of this.sites.entries()) {
      const result = results[index];
      if (result?.status === 'fulfilled') {
        answers.push(result.value);
        if (what === 'copy') for (const key of keys) this.health.trust(site, key);
      } else if (result && !(result.reason instanceof StoreUnavailable)) throw result.reason;
      else problems.push({ site, error: result?.reason as StoreUnavailable });
    }
    if (answers.length === 0) throw worstOf(problems);
    for (const { site, error } of problems) await this.#owed.note(site, keys, what, error.message);
    return answers[0] as T;
  }
}
