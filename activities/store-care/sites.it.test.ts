import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CustomizationKey } from '../../core/ids.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import { tenantShardKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createOwedObjects } from '../../store/owed-objects.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { startStoreCare } from '../../test/support/store-care-scene.ts';
import { newTenant, publishVersion, storedKeys } from '../../test/support/stored-runs.ts';
import { twoSiteStore } from '../../test/support/two-site-store.ts';
import { settleSites } from './settle-sites.ts';
import { type StoreCareDependencies, createStoreCareActivities } from './store-care-activities.ts';

let scene: Awaited<ReturnType<typeof startStoreCare>>;
let other: TestStack;
let pool: Pool;
let sites: Record<'first' | 'second', ObjectStore>;
let count = 0;

beforeAll(async () => {
  [scene, other] = await Promise.all([startStoreCare(1), startTestStack({ engines: ['s3'] })]);
  ({ pool } = scene);
});
afterAll(async () => {
  await scene.stop();
  await other.remove();
});

/** As a new process sees it. */
function opened(): { readonly store: ObjectStore; readonly care: ReturnType<typeof createStoreCareActivities> } {
  const { store, first, second } = twoSiteStore([scene.stack.config.s3, other.config.s3], createOwedObjects(pool));
  sites = { first, second };
  const dependencies: StoreCareDependencies = { ...scene.dependencies, store };
  return { store, care: createStoreCareActivities(dependencies) };
}
const tenant = (): Promise<CustomizationKey> => newTenant(pool, `sites-${++count}`);
const all = { share: null };
const flip = async (name: 'first' | 'second', key: string): Promise<void> => {
  const { s3 } = (name === 'first' ? scene.stack : other).config;
  await createS3Client({ s3 }).send(new PutObjectCommand({ Bucket: s3.bucket, Key: key, Body: 'other bytes' }));
};
async function conditions(): Promise<{ readonly state: string; readonly subject: string; readonly detail: string }[]> {
  const [rows] = await pool.query<(RowDataPacket & { state: string; subject: string; detail: string })[]>(
    "SELECT state, subject, detail FROM modelwright_control.sensing_conditions WHERE code = 'store_site_behind' ORDER BY condition_id",
  );
  return rows;
}
const keysAt = async (site: 'first' | 'second', { tenantId }: CustomizationKey): Promise<string[]> =>
  await storedKeys(sites[site], `tenants/${tenantId}/`);

describe('the care for a store on two sites', () => {
  it('names what the site that was away missed, and brings it there when it is back', async () => {
    const { store } = opened();
    const key = await tenant();
    await other.pause('s3');
    await publishVersion(pool, store, key, { shards: ['a shard', 'another'], files: ['a file'] }, true);
    const [open] = await conditions();
    expect(open).toMatchObject({ state: 'open', subject: 'second site of the store' });
    expect(open?.detail).toMatch(/objects are not there or not right, the oldest since .* UTC: .*/);
    // It is still away: nothing is settled, and nothing forgotten.
    expect(await settleSites(pool, store, () => undefined)).toBe(0);
    await other.resume('s3');
    const { store: later, care } = opened();
    expect(await keysAt('second', key)).toEqual([]);
    expect((await care.scrubBase(all)).open).toEqual([]);
    expect(await keysAt('second', key)).toEqual(await keysAt('first', key));
    expect((await keysAt('second', key)).length).toBeGreaterThan(5);
    expect(await conditions()).toEqual([expect.objectContaining({ state: 'healed' })]);
    expect(await care.scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({ damaged: 0, missing: 0, open: [] });
    expect(await settleSites(pool, later, () => undefined)).toBe(0);
  });

  it('mends flipped and lost objects of either site from the other', async () => {
    const { store, care } = opened();
    const key = await tenant();
    const texts = Array.from({ length: 20 }, (_, n) => `shard ${n} of two sites`);
    await publishVersion(pool, store, key, { shards: texts }, true);
    const keyOf = (text = ''): string => tenantShardKey(key.tenantId, sha256Hex(text));
    for (const [n, text] of texts.entries()) {
      if (n < 8) await flip('first', keyOf(text));
      else if (n < 14) await flip('second', keyOf(text));
      else if (n < 17) await sites.first.delete([keyOf(text)]);
      else await sites.second.delete([keyOf(text)]);
    }
    expect(await care.scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({ damaged: 14, missing: 6, repaired: 20, open: [] });
    for (const site of [sites.first, sites.second])
      for (const text of texts) expect(Buffer.from(await site.read({ key: keyOf(text), sha256: sha256Hex(text) })).toString()).toBe(text);
    expect(await care.scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({ damaged: 0, missing: 0 });
    // Wrong on both, and no copy anywhere.
    await flip('first', keyOf(texts[0]));
    await flip('second', keyOf(texts[0]));
    expect(await care.scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({ damaged: 1, repaired: 0 });
  });

  it('reads the site that answers, and says which one was not read', async () => {
    const { store, care } = opened();
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: ['seen by one'] }, true);
    await scene.stack.pause('s3');
    const found = await care.scrubTenant({ tenantId: key.tenantId, ...all });
    expect(found).toMatchObject({ damaged: 0, missing: 0 });
    expect(found.objects).toBeGreaterThan(3);
    expect(found.open).toEqual([expect.stringMatching(/^the first site of the store \(http.*\) was not read: /)]);
    await scene.stack.resume('s3');
  });

  it('removes garbage from both, and what a site kept while it was away in a later round', async () => {
    const { store, care } = opened();
    const key = await tenant();
    for (let n = 0; n < 3; n++) await publishVersion(pool, store, key, { shards: [`garbage ${n}`] }, true);
    const shard = (n: number): string => tenantShardKey(key.tenantId, sha256Hex(`garbage ${n}`));
    await other.pause('s3');
    const sweepTenant = async (roundId: string, by = care) => await by.sweepTenant({ tenantId: key.tenantId, roundId, dryRun: false });
    expect((await sweepTenant('while-away')).versions).toHaveLength(2);
    expect(await sites.first.size(shard(0))).toBeNull();
    expect((await conditions()).at(-1)).toMatchObject({ state: 'open', detail: expect.stringContaining('removed ones are still there') });
    await other.resume('s3');
    const { store: later, care: next } = opened();
    expect(await sites.second.size(shard(0))).not.toBeNull();
    // Nothing brings back what was removed.
    await settleSites(pool, later, () => undefined);
    expect(await sites.first.size(shard(0))).toBeNull();
    await sweepTenant('both-there', next);
    expect(await sites.second.size(shard(0))).toBeNull();
    expect(await keysAt('second', key)).toEqual(await keysAt('first', key));
    await settleSites(pool, later, () => undefined);
    expect((await conditions()).filter(({ state }) => state === 'open')).toEqual([]);
    expect(Buffer.from(await later.read({ key: shard(2), sha256: sha256Hex('garbage 2') })).toString()).toBe('garbage 2');
  });
});
