import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CustomizationKey } from '../../core/ids.ts';
import { type Pool, type RowDataPacket } from '../../platform/mysql.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { baseShardKey, tenantFileKey, tenantShardKey } from '../../store/keys.ts';
import { ObjectsLocked } from '../../store/object-locks.ts';
import { type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';
import { Dying } from '../../test/support/dying.ts';
import { collectGarbage, startStoreCare } from '../../test/support/store-care-scene.ts';
import { type Content, newTenant, publishVersion, storedKeys } from '../../test/support/stored-runs.ts';
import { promoteModel, rollbackModel } from '../registry/promotions.ts';
import { lockPromoted } from './lock-promoted.ts';
import { scrubTenant } from './scrub.ts';
import type { StoreCareDependencies } from './store-care-activities.ts';

let pool: Pool;
let store: ObjectStore;
let dependencies: StoreCareDependencies;
let stop: () => Promise<void>;
let count = 0;
let rounds = 0;
let requests = 0;

beforeAll(async () => void ({ pool, store, dependencies, stop } = await startStoreCare(2, { MW_OBJECT_LOCK_DAYS: '1' })));
afterAll(async () => await stop());

const hourMs = 3_600_000;
const content: Content = { shards: ['own', 'more'], files: ['labels'], base: ['the base'], rows: ['a row'] };
const tenant = (): Promise<CustomizationKey> => newTenant(pool, `l${++count}`);
const beat = (): void => undefined;
const lock = (lockMs: number, changed: { readonly pool?: Pool; readonly store?: ObjectStore } = {}): Promise<number> =>
  lockPromoted({ pool, store, lockMs, beat, ...changed });
const collect = (dryRun: boolean, lockMs: number) =>
  collectGarbage({ ...dependencies, retention: { ...dependencies.retention, lockMs } }, `round-${++rounds}`, dryRun);
const promote = (key: CustomizationKey, version: number) =>
  promoteModel(pool, { ...key, requestKey: `r${++requests}`, version, actor: 'ada', reason: null, force: true, fence: null });
const lockedUntil = async (key: string): Promise<number> => (await store.locks?.locked([key]))?.get(key) ?? 0;
const shardOf = ({ tenantId }: CustomizationKey, text: string): string => tenantShardKey(tenantId, sha256Hex(text));
const keysOf = async ({ tenantId }: CustomizationKey): Promise<string[]> => await storedKeys(store, `tenants/${tenantId}/`);
const lockedKeys = async (key: CustomizationKey): Promise<string[]> =>
  [...((await store.locks?.locked(await keysOf(key))) ?? new Map<string, number>()).keys()].sort();
async function versionsOf({ tenantId }: CustomizationKey): Promise<RowDataPacket[]> {
  const [rows] = await pool.query<RowDataPacket[]>(
    'SELECT version, locked_until, removed_at FROM modelwright_control.model_versions WHERE tenant_id = ? ORDER BY version',
    [tenantId],
  );
  return rows;
}
const conditions = async (): Promise<RowDataPacket[]> =>
  (
    await pool.query<RowDataPacket[]>(
      "SELECT detail FROM modelwright_control.sensing_conditions WHERE code = 'promoted_version_not_locked' AND state <> 'healed'",
    )
  )[0];
/** Ends what a test has promoted, so that the next one locks its own only. */
const forgetAll = (): Promise<unknown> => pool.query('DELETE FROM modelwright_control.promotions');

describe('a promoted version', () => {
  it('is locked whole, its base too, but not what it learned from; nothing is while the setting is off', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, content);
    await publishVersion(pool, store, key, { ...content, shards: ['own', 'of v2'] });
    await promote(key, 1);
    expect(await lock(0)).toBe(0);
    expect(await lockedKeys(key)).toEqual([]);
    expect(await lock(hourMs)).toBe(1);
    const locked = await lockedKeys(key);
    const [manifest = ''] = locked.filter((one) => one.includes('/models/v1-'));
    const file = tenantFileKey(key.tenantId, sha256Hex('labels'));
    expect(locked).toEqual([manifest, shardOf(key, 'own'), shardOf(key, 'more'), file].sort());
    for (const one of [...locked, baseShardKey(sha256Hex('the base'))])
      expect(await lockedUntil(one)).toBeGreaterThan(Date.now() + hourMs - 300_000);
    await expect(store.delete(locked)).rejects.toThrow(ObjectsLocked);
    expect(await lockedKeys(key)).toEqual(locked);
    expect(await lock(hourMs)).toBe(0);
    await forgetAll();
  });

  it('is locked longer when it is promoted again and while it serves, and never shorter', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: ['first'] });
    await publishVersion(pool, store, key, { shards: ['second'] });
    await promote(key, 1);
    await lock(hourMs);
    const once = await lockedUntil(shardOf(key, 'first'));
    // It serves, and of three hours more than half are over.
    expect(await lock(3 * hourMs)).toBe(1);
    const renewed = await lockedUntil(shardOf(key, 'first'));
    expect(renewed).toBeGreaterThan(once + hourMs);
    expect(await lock(hourMs)).toBe(0);
    expect(await lockedUntil(shardOf(key, 'first'))).toBe(renewed);
    await promote(key, 2);
    await lock(3 * hourMs);
    // It served once: until so long after its promotion, and no longer.
    await pool.query('UPDATE modelwright_control.model_versions SET locked_until = UTC_TIMESTAMP(6) WHERE tenant_id = ?', [key.tenantId]);
    await pool.query(
      'UPDATE modelwright_control.promotions SET promoted_at = UTC_TIMESTAMP(6) - INTERVAL 4 HOUR WHERE tenant_id = ? AND version = 1',
      [key.tenantId],
    );
    expect(await lock(3 * hourMs)).toBe(1);
    expect(await lockedUntil(shardOf(key, 'first'))).toBe(renewed);
    await rollbackModel(pool, { ...key, requestKey: 'back', actor: 'ada', reason: null });
    expect(await lock(4 * hourMs)).toBe(2);
    expect(await lockedUntil(shardOf(key, 'first'))).toBeGreaterThan(renewed);
    await forgetAll();
  });

  it('is locked in the end wherever the work dies', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, content);
    await promote(key, 1);
    const dying = new Dying();
    const { counting } = dying;
    const { locks } = store;
    if (!locks) throw new Error('the store has no locks');
    const mortal: ObjectStore = {
      ...store,
      read: counting((ref) => store.read(ref)),
      locks: {
        ...locks,
        lock: counting(async (keys: readonly string[], untilMs: number) => {
          for (const one of keys) await counting(() => locks.lock([one], untilMs))();
        }),
      },
    };
    const mortalPool = new Proxy(pool, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (name === 'query') return counting((...args: Parameters<Pool['query']>) => target.query(...args));
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    let dieAt = 1;
    for (let ended = false; !ended && dieAt < 100; dieAt++) {
      // Each time as if it had never been locked: what is locked already stays so.
      await pool.query('UPDATE modelwright_control.model_versions SET locked_until = NULL WHERE tenant_id = ?', [key.tenantId]);
      dying.at(dieAt);
      ended = await lock(hourMs, { store: mortal, pool: mortalPool }).then(
        () => true,
        (error: unknown) => {
          if ((error as Error).message !== 'died') throw error;
          return false;
        },
      );
      dying.at(0);
      await lock(hourMs);
      expect(await lockedKeys(key)).toHaveLength(4);
      expect((await versionsOf(key))[0]?.['locked_until']).not.toBeNull();
    }
    expect(dieAt).toBeGreaterThan(10);
    await forgetAll();
  });

  it('serves although the store cannot lock it, which is shown until it can', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: ['waits'] });
    const { locks } = store;
    if (!locks) throw new Error('the store has no locks');
    const away: ObjectStore = { ...store, locks: { ...locks, lock: () => Promise.reject(new StoreUnavailable('it is away')) } };
    expect((await promote(key, 1)).production).toBe(1);
    expect(await lock(hourMs, { store: away })).toBe(0);
    expect((await conditions())[0]?.['detail']).toBe(`${key.tenantId}/c@v1 was promoted and is not locked as it should be: it is away`);
    expect((await versionsOf(key))[0]?.['locked_until']).toBeNull();
    expect(await lock(hourMs)).toBe(1);
    expect(await conditions()).toEqual([]);
    await forgetAll();
  });

  it('is mended where it is damaged, and locked as it was', async () => {
    const key = await tenant();
    const other = await tenant();
    await publishVersion(pool, store, key, { shards: ['mended'] });
    await publishVersion(pool, store, other, { shards: ['mended'] });
    await promote(key, 1);
    await lock(hourMs);
    const shard = shardOf(key, 'mended');
    const endMs = await lockedUntil(shard);
    await store.delete([shard], undefined, true);
    expect(await scrubTenant(dependencies, { tenantId: key.tenantId, share: null })).toMatchObject({ missing: 1, repaired: 1 });
    expect(await lockedUntil(shard)).toBe(0);
    expect(await lock(hourMs)).toBe(1);
    expect(await lockedUntil(shard)).toBeGreaterThanOrEqual(endMs);
    expect(await lock(hourMs)).toBe(0);
    await forgetAll();
  });
});

describe('a garbage collection where versions are locked', () => {
  it('keeps them while their customization exists, and is no error', async () => {
    const key = await tenant();
    for (let n = 1; n <= 4; n++) await publishVersion(pool, store, key, { shards: [`own ${n}`] });
    await promote(key, 1);
    await promote(key, 4);
    // Not locked yet, but to be: it is not taken away before.
    expect((await collect(true, hourMs)).versions).toBe(1);
    const done = await collect(false, hourMs);
    expect(done).toMatchObject({ failed: [], deferred: [] });
    expect((await versionsOf(key)).map(({ removed_at: removed }) => removed === null)).toEqual([true, false, true, true]);
    for (const n of [1, 4]) expect(await lockedUntil(shardOf(key, `own ${n}`))).toBeGreaterThan(Date.now());
    await forgetAll();
  });

  it('leaves what is locked of a deleted tenant, says how much and until when, and removes it after that', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: ['locked'], files: ['locked too'] });
    await publishVersion(pool, store, key, { shards: ['free'] });
    await promote(key, 1);
    const lockMs = 20_000;
    await lock(lockMs);
    const locked = await lockedKeys(key);
    expect(locked).toHaveLength(3);
    const endMs = await lockedUntil(shardOf(key, 'locked'));
    await pool.query('DELETE FROM modelwright.customizations WHERE tenant_id = ?', [key.tenantId]);
    const before = await collect(false, 0).then(() => collect(true, 0));
    const told = before.locked;
    expect(Date.now()).toBeLessThan(endMs);
    expect(await keysOf(key)).toEqual(locked);
    const own = async (): Promise<number> => {
      let bytes = 0;
      for await (const object of store.list(`tenants/${key.tenantId}/`)) bytes += object.bytes;
      return bytes;
    };
    expect(told?.objects).toBeGreaterThanOrEqual(3);
    expect(told?.bytes).toBeGreaterThanOrEqual(await own());
    expect(Date.parse(told?.until ?? '')).toBeGreaterThanOrEqual(endMs);
    expect(before.failed).toEqual([]);
    await sleep(Math.max(0, endMs - Date.now()) + 1_500);
    await collect(false, 0);
    expect(await keysOf(key)).toEqual([]);
  });
});
