import { type ScrubPart, type ScrubShare, addAmounts, maxNamed, nothing } from '../../core/store-care.ts';
import { basePrefix } from '../../store/keys.ts';
import type { StoreSite } from '../../store/object-store.ts';
import { checkSites, otherSite } from './check-sites.ts';
import { showDamage } from './damage-conditions.ts';
import { type Damage, closeDamage, forgetDamages, isStillLive, markOwners, openDamages, recordDamage, sharedTenant } from './damages.ts';
import { installedBaseParts } from './installed-base.ts';
import { type LiveObject, type Owner, liveObjects } from './live-objects.ts';
import { lockAgain } from './lock-promoted.ts';
import { repairFromCopy, writeAnew } from './repair-object.ts';
import { settleSites } from './settle-sites.ts';
import type { StoreCareDependencies } from './store-care-activities.ts';
import { everyTenant } from './tenants.ts';

type Found = { readonly object: LiveObject; readonly damage: Damage };

/** Digests are evenly spread: so many of their first hexadecimal digits say which share an object falls on. */
const shareDigits = 8;

export const inShare = (sha256: string, share: ScrubShare | null): boolean =>
  share === null || Number.parseInt(sha256.slice(0, shareDigits), 16) % share.of === share.index;

/** Reads the share's objects, and those that were not whole the last time; repairs what it can from a copy. */
async function readAndRepair(
  dependencies: StoreCareDependencies,
  tenantId: string,
  objects: readonly LiveObject[],
  share: ScrubShare | null,
): Promise<{ readonly part: ScrubPart; readonly left: readonly Found[] }> {
  const { pool, store, beat } = dependencies;
  const before = await openDamages(pool, [tenantId]);
  const part = { ...nothing, damaged: 0, missing: 0, repaired: 0, open: [] };
  let read = nothing;
  let count = { damaged: 0, missing: 0, repaired: 0 };
  const left: Found[] = [];
  const away = new Map<StoreSite, string>();
  for (const object of objects) {
    if (!inShare(object.sha256, share) && !before.has(object.key)) continue;
    beat();
    const { state, bytes, mended } = await checkSites(store, object, beat, away);
    read = addAmounts(read, { objects: 1, bytes });
    if (mended !== null) {
      count = { ...count, [mended]: count[mended] + 1, repaired: count.repaired + 1 };
      await recordDamage(pool, tenantId, { key: object.key, sha256: object.sha256, what: mended }, otherSite);
    } else if (state === 'whole') {
      if (before.has(object.key)) await closeDamage(pool, object.key);
    }
    if (state === 'whole') continue;
    if (!(await isStillLive(pool, object))) continue;
    count = { ...count, [state]: count[state] + 1 };
    const damage: Damage = { key: object.key, sha256: object.sha256, what: state };
    // On record before it is mended: a round that dies here has not seen it for nothing.
    await recordDamage(pool, tenantId, damage, null);
    await lockAgain(pool, tenantId === sharedTenant ? null : tenantId);
    const copy = await repairFromCopy(dependencies, object);
    if (copy === null) left.push({ object, damage });
    else {
      await recordDamage(pool, tenantId, damage, copy);
      count = { ...count, repaired: count.repaired + 1 };
    }
  }
  const open = [...away].map(([site, reason]) => `the ${site.name} site of the store (${site.endpoint}) was not read: ${reason}`);
  return { part: { ...part, ...read, ...count, open }, left };
}

/** What is not whole and still needed. What nothing refers to any more is forgotten, if it is known what everything refers to. */
async function stillOpen(
  { pool }: StoreCareDependencies,
  tenantId: string,
  referred: ReadonlyMap<string, LiveObject>,
  allKnown: boolean,
): Promise<string[]> {
  const open = [...(await openDamages(pool, [tenantId]))].sort();
  if (!allKnown) return open;
  await forgetDamages(
    pool,
    open.filter((key) => !referred.has(key)),
  );
  return open.filter((key) => referred.has(key));
}

/** What all tenants share: a damaged part is also made anew from the base models that are installed here. Before the tenants. Key: none; read again. */
export async function scrubBase(dependencies: StoreCareDependencies, { share }: { readonly share: ScrubShare | null }): Promise<ScrubPart> {
  const { pool, store, beat } = dependencies;
  await settleSites(pool, store, beat);
  const objects = new Map<string, LiveObject>();
  const unreadable: Owner[] = [];
  for await (const tenantId of everyTenant(pool)) {
    const live = await liveObjects(dependencies, tenantId);
    unreadable.push(...live.unreadable);
    for (const object of live.objects.values()) {
      if (!object.key.startsWith(basePrefix)) continue;
      // One that refers to it stands for all: whether it is live is asked of each.
      const known = objects.get(object.key);
      objects.set(object.key, known ? { ...known, owners: [...known.owners, ...object.owners] } : object);
    }
  }
  const { hiding, others } = apart([...objects.values()], unreadable);
  const urgent = await readAndRepair(dependencies, sharedTenant, hiding, null);
  const rest = await readAndRepair(dependencies, sharedTenant, others, share);
  const part = together(urgent.part, rest.part);
  const wanted = new Map([...urgent.left, ...rest.left].map((found) => [found.object.key, found] as const));
  let repaired = 0;
  if (wanted.size > 0)
    await installedBaseParts(
      dependencies,
      async (key, bytes, sha256) => {
        const found = wanted.get(key);
        if (found?.object.sha256 !== sha256) return;
        await lockAgain(pool, null);
        if (!(await writeAnew(store, found.object, bytes, beat))) return;
        await recordDamage(pool, sharedTenant, found.damage, 'the base model that is installed here');
        wanted.delete(key);
        repaired += 1;
      },
      beat,
    );
  const open = await stillOpen(dependencies, sharedTenant, objects, unreadable.length === 0);
  await showDamage(pool, 'base models', open.length === 0 ? null : `${sentenceOf(open)}; every version on that base model is affected`);
  return { ...part, repaired: part.repaired + repaired, open: [...part.open, ...openSentences('base models', open)] };
}

/** A tenant's own objects; and marks its versions and datasets, also for what it shares. Key: none; read again. */
export async function scrubTenant(
  dependencies: StoreCareDependencies,
  { tenantId, share }: { readonly tenantId: string; readonly share: ScrubShare | null },
): Promise<ScrubPart> {
  const { pool } = dependencies;
  const live = await liveObjects(dependencies, tenantId);
  const own = [...live.objects.values()].filter(({ key }) => !key.startsWith(basePrefix));
  const { hiding, others } = apart(own, live.unreadable);
  const urgent = await readAndRepair(dependencies, tenantId, hiding, null);
  const rest = await readAndRepair(dependencies, tenantId, others, share);
  const part = together(urgent.part, rest.part);
  const keys = await stillOpen(dependencies, tenantId, live.objects, live.unreadable.length === 0);
  const shared = await openDamages(pool, [sharedTenant]);
  const affected = await markOwners(pool, tenantId, live, new Set([...keys, ...shared]));
  const named = affected.map(({ what, customizationId, number }) => `${what} ${number} of ${customizationId}`).slice(0, maxNamed);
  await showDamage(
    pool,
    tenantId,
    keys.length === 0 ? null : `${sentenceOf(keys)}; affected: ${named.join(', ') || 'details of judgements'}`,
  );
  return { ...part, open: [...part.open, ...openSentences(tenantId, keys)].slice(0, maxNamed) };
}

/** A manifest that cannot be read hides what it refers to: what its version or dataset is known to need is looked at in every round. */
function apart(objects: readonly LiveObject[], unreadable: readonly Owner[]) {
  const nameOf = ({ tenantId, what, customizationId, number }: Owner): string => `${tenantId}/${what}/${customizationId}/${number}`;
  const unread = new Set(unreadable.map(nameOf));
  const { hiding = [], others = [] } = Object.groupBy(objects, ({ owners }) =>
    owners.some((owner) => unread.has(nameOf(owner))) ? 'hiding' : 'others',
  );
  return { hiding, others };
}

const together = (one: ScrubPart, other: ScrubPart): ScrubPart => ({
  ...addAmounts(one, other),
  damaged: one.damaged + other.damaged,
  missing: one.missing + other.missing,
  repaired: one.repaired + other.repaired,
  open: [...new Set([...one.open, ...other.open])],
});

const sentenceOf = (keys: readonly string[]): string =>
  keys.length === 1 ? `${keys[0]} is damaged or missing` : `${keys.length} objects are damaged or missing, ${keys[0]} among them`;
const openSentences = (subject: string, keys: readonly string[]): string[] =>
  keys.slice(0, maxNamed).map((key) => `${subject}: ${key} is damaged or missing, and there is no copy`);
