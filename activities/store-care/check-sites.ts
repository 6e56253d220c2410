import { digestOfKey } from '../../store/keys.ts';
import { ObjectsLocked } from '../../store/object-locks.ts';
import { type ObjectStore, type StoreSite, StoreUnavailable } from '../../store/object-store.ts';
import { type ObjectState, checkObject, storedDigest } from './check-object.ts';

type Wanted = { readonly key: string; readonly sha256: string };

/** What one look at an object found, on every site there is. */
export type Looked = ObjectState & {
  /** What was wrong on one site, and was written anew from the other. */
  readonly mended: 'damaged' | 'missing' | null;
};

/** Where an object is mended from when it is the other site that has it. */
export const otherSite = 'the other site';

/**
 * Reads an object wherever it should lie, and brings it from the site that has it right to the one that has not. A site that does not answer is noted in
 * `away` and not asked again. Fails with StoreUnavailable where no site answers.
 */
export async function checkSites(store: ObjectStore, wanted: Wanted, beat: () => void, away: Map<StoreSite, string>): Promise<Looked> {
  if (!store.sites) return { ...(await checkObject(store, wanted, beat)), mended: null };
  const seen: { readonly site: StoreSite; readonly state: ObjectState }[] = [];
  for (const site of store.sites) {
    if (away.has(site)) continue;
    try {
      seen.push({ site, state: await checkObject(site.store, wanted, beat) });
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      away.set(site, error.message);
    }
  }
  const whole = seen.find(({ state }) => state.state === 'whole');
  const worst = seen.find(({ state }) => state.state === 'damaged') ?? seen[0];
  if (!worst) throw new StoreUnavailable(`no site of the store answers: ${[...away.values()].join('; ')}`);
  if (!whole) return { ...worst.state, mended: null };
  let mended: Looked['mended'] = null;
  for (const { site, state } of seen) {
    if (state.state === 'whole') continue;
    try {
      await bring(whole.site, site, { ...wanted, bytes: whole.state.bytes });
    } catch (error) {
      if (!(error instanceof ObjectsLocked)) throw error;
      away.set(site, `what is damaged there cannot be written anew (${error.message}): the key needs s3:BypassGovernanceRetention`);
      continue;
    }
    if ((await checkObject(site.store, wanted, beat)).state === 'whole') mended = state.state;
  }
  return { ...whole.state, mended };
}

/**
 * Writes an object of one site to the other one, whatever that has under its key. The gateway there takes no bytes but these. Throws ObjectsLocked where that
 * is locked and the credentials may not bypass it.
 */
export async function bring(from: StoreSite, to: StoreSite, { key, sha256, bytes }: Wanted & { readonly bytes: number }): Promise<void> {
  const until = [from, to].map(async ({ store }) => (await store.locks?.locked([key]))?.get(key) ?? 0);
  const untilMs = Math.max(...(await Promise.all(until)));
  // Content of the right size would not be sent again. What was locked there is locked again.
  try {
    await to.store.delete([key], undefined, true);
  } catch (error) {
    if (!(error instanceof ObjectsLocked)) throw error;
    // Without the right to bypass a lock it becomes an older version, where the bucket keeps any.
    await to.store.replace(key, await from.store.read({ key, sha256 }));
    return;
  }
  await to.store.putContentStream(key, { sha256, bytes, open: () => from.store.stream(key) });
  if (untilMs > 0) await to.store.locks?.lock([key], untilMs);
}

/** Whether the site has the object as the other one has it; brings it there if not, and if the other one has it right. False where that cannot be said. */
export async function bringOwed(from: StoreSite, to: StoreSite, key: string, beat: () => void): Promise<boolean> {
  const named = digestOfKey(key);
  const theirs = await storedDigest(from.store, key, beat);
  const ours = await storedDigest(to.store, key, beat);
  // Nobody has it any more: it was removed meanwhile.
  if (theirs === null) return ours === null || named === null || ours.sha256 === named;
  if (theirs.sha256 === ours?.sha256) return true;
  // Neither is right: for the scrub, which knows other copies.
  if (named !== null && theirs.sha256 !== named) return ours?.sha256 === named;
  try {
    await bring(from, to, { key, ...theirs });
    return true;
  } catch (error) {
    if (error instanceof ObjectsLocked) return false;
    throw error;
  }
}
