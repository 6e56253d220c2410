import type { Pool } from '../../platform/mysql.ts';
import { type ObjectStore, type StoreSite, StoreUnavailable } from '../../store/object-store.ts';
import { type Owed, clearOwed, listOwed, showOwed } from '../../store/owed-objects.ts';
import { bringOwed } from './check-sites.ts';

const atOnce = 200;

/** Brings to each site what is on record that it lacks. What cannot be done now stays on record. Returns how many objects were settled. Key: object, site. */
export async function settleSites(pool: Pool, store: ObjectStore, beat: () => void): Promise<number> {
  let settled = 0;
  for (const site of store.sites ?? []) {
    const other = store.sites?.find((one) => one !== site);
    if (!other) continue;
    try {
      settled += await settleSite(pool, site, other, beat);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
    }
    await showOwed(pool, site);
  }
  return settled;
}

async function settleSite(pool: Pool, site: StoreSite, other: StoreSite, beat: () => void): Promise<number> {
  let settled = 0;
  let after = '';
  for (;;) {
    const owed = await listOwed(pool, site.name, after, atOnce);
    for (const one of owed) {
      beat();
      if (!(await settle(site, other, one, beat))) continue;
      await clearOwed(pool, site.name, one);
      settled += 1;
    }
    after = owed.at(-1)?.key ?? '';
    if (owed.length < atOnce) return settled;
  }
}

async function settle(site: StoreSite, other: StoreSite, { key, what }: Owed, beat: () => void): Promise<boolean> {
  if (what === 'copy') return await bringOwed(other, site, key, beat);
  // It is the garbage collection that removes it, which knows what is needed again; here is only seen whether that is done.
  return (await site.store.size(key)) === null || (await other.store.size(key)) !== null;
}
