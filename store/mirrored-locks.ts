import { type HiddenVersion, type LockedUntil, type ObjectLocks, laterEnd } from './object-locks.ts';
import { type StoreSite, StoreUnavailable } from './object-store.ts';
import type { TwoSites } from './two-sites.ts';

type Sited = HiddenVersion & { readonly site?: StoreSite };

/**
 * Locks of a store on two sites. What is locked is so on both, or it is an error: whoever locks tries again. What either holds is held, and a site that is
 * away is left out where only something is looked for.
 */
export function mirroredLocks(sites: TwoSites): ObjectLocks {
  const here = async (work: (site: StoreSite, locks: ObjectLocks) => Promise<void>): Promise<void> => {
    let away: StoreUnavailable | null = null;
    let answered = 0;
    for (const site of sites.sites) {
      const { locks } = site.store;
      try {
        if (locks) await sites.ask(site, () => work(site, locks));
        answered += 1;
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        away = error;
      }
    }
    if (away && answered === 0) throw away;
  };
  return {
    lock: async (keys, untilMs) => {
      const done = await Promise.allSettled(
        sites.sites.map((site) => sites.ask(site, async (store) => await store.locks?.lock(keys, untilMs))),
      );
      for (const one of done) if (one.status === 'rejected') throw one.reason;
    },
    locked: async (keys): Promise<LockedUntil> => {
      const locked = new Map<string, number | null>();
      await here(async (_site, locks) => {
        for (const [key, until] of await locks.locked(keys)) locked.set(key, laterEnd(locked.get(key), until));
      });
      return locked;
    },
    async *hidden(prefix): AsyncGenerator<Sited> {
      const found: Sited[] = [];
      await here(async (site, locks) => {
        for await (const version of locks.hidden(prefix)) found.push({ ...version, site });
      });
      yield* found;
    },
    lockedHidden: async (versions: readonly Sited[]) => {
      const locked = new Map<HiddenVersion, number | null>();
      await here(async (site, locks) => {
        for (const [version, until] of await locks.lockedHidden(versions.filter((one) => one.site === site))) locked.set(version, until);
      });
      return locked;
    },
    dropHidden: async (versions: readonly Sited[], signal) => {
      for (const site of sites.sites) {
        const theirs = versions.filter((version) => version.site === site);
        if (theirs.length > 0) await sites.ask(site, async (store) => await store.locks?.dropHidden(theirs, signal));
      }
    },
  };
}
