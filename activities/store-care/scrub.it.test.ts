import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CustomizationKey } from '../../core/ids.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { type Pool, type RowDataPacket } from '../../platform/mysql.ts';
import { baseFileKey, baseShardKey, tenantShardKey } from '../../store/keys.ts';
import { CorruptObject, type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';
import { newTenant, publishVersion, storedKeys } from '../../test/support/stored-runs.ts';
import { startStoreCare } from '../../test/support/store-care-scene.ts';
import { writeTinyEncoder } from '../../test/support/tiny-encoders.ts';
import { promoteModel } from '../registry/promotions.ts';
import { defaultShardBytes } from '../sharding/store-tensors.ts';
import { installedBaseParts } from './installed-base.ts';
import { type StoreCareDependencies, createStoreCareActivities } from './store-care-activities.ts';

let pool: Pool;
let store: ObjectStore;
let modelsDir: string;
let dependencies: StoreCareDependencies;
let stop: () => Promise<void>;
let count = 0;
const all = { share: null };

beforeAll(async () => void ({ pool, store, modelsDir, dependencies, stop } = await startStoreCare(9)));
afterAll(async () => await stop());

const tenant = (): Promise<CustomizationKey> => newTenant(pool, `s${++count}`);
const care = (changed: Partial<StoreCareDependencies> = {}) => createStoreCareActivities({ ...dependencies, ...changed });
const shardOf = ({ tenantId }: CustomizationKey, text: string): string => tenantShardKey(tenantId, sha256Hex(text));

async function damageOf({ tenantId }: CustomizationKey): Promise<(string | null)[]> {
  const [rows] = await pool.query<(RowDataPacket & { damage: string | null })[]>(
    'SELECT damage FROM modelwright_control.model_versions WHERE tenant_id = ? ORDER BY version',
    [tenantId],
  );
  return rows.map(({ damage }) => damage);
}
async function conditionsOf(subject: string): Promise<string[]> {
  const [rows] = await pool.query<(RowDataPacket & { state: string })[]>(
    "SELECT state FROM modelwright_control.sensing_conditions WHERE code = 'stored_object_damaged' AND subject = ? ORDER BY condition_id",
    [subject],
  );
  return rows.map(({ state }) => state);
}

/** Numbers from 0 on below `limit`; the same in every test run. */
function drawing(): (limit: number) => number {
  let state = 42;
  return (limit) => (state = (state * 48_271) % 2_147_483_647) % limit;
}
function flipped(text: string, draw: (limit: number) => number): Buffer {
  const bytes = Buffer.from(text);
  const bit = draw(bytes.byteLength * 8);
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return bytes;
}
/** Many small requests, some at a time. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const queue = [...items];
  const lane = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: 8 }, lane));
}

describe('a scrub', () => {
  it('finds 1,000 of 1,000 flipped bits, none of which any reader takes for right, and mends those of which there is a copy', async () => {
    const flips = 1_000;
    const copies = 400;
    const [key, twin] = [await tenant(), await tenant()];
    const texts = Array.from({ length: flips }, (_, n) => `tensors of shard ${n}: ${sha256Hex(`${n}`)}`);
    await eachOf(texts, (text) => store.putContent(shardOf(key, text), Buffer.from(text), sha256Hex(text)));
    await publishVersion(pool, store, key, { shards: texts }, true);
    await publishVersion(pool, store, twin, { shards: texts.slice(0, copies) }, true);
    const whole = await care().scrubTenant({ tenantId: key.tenantId, ...all });
    expect(whole).toMatchObject({ damaged: 0, missing: 0, open: [] });
    const draw = drawing();
    await eachOf(texts, (text) => store.replace(shardOf(key, text), flipped(text, draw)));

    let refused = 0;
    await eachOf(texts, async (text) => {
      const error: unknown = await store.read({ key: shardOf(key, text), sha256: sha256Hex(text) }).catch((one: unknown) => one);
      if (error instanceof CorruptObject) refused += 1;
    });
    expect(refused).toBe(flips);
    const found = await care().scrubTenant({ tenantId: key.tenantId, ...all });
    expect(found).toMatchObject({ objects: whole.objects, damaged: flips, missing: 0, repaired: copies });
    for (const text of texts.slice(0, copies))
      await expect(store.read({ key: shardOf(key, text), sha256: sha256Hex(text) })).resolves.toEqual(Buffer.from(text));
    expect(await damageOf(key)).toEqual([
      expect.stringContaining('600 objects do not have the bytes they should have, and there is no copy'),
    ]);
    expect(await damageOf(twin)).toEqual([null]);
    expect(await conditionsOf(key.tenantId)).toEqual(['open']);
    const asked = { ...key, requestKey: 'r', version: 1, actor: 'ada', reason: null, force: true, fence: null };
    await expect(promoteModel(pool, asked)).rejects.toThrow(/v1 is damaged/);

    await eachOf(texts.slice(copies), (text) => store.replace(shardOf(key, text), Buffer.from(text)));
    // What was not whole is read again in every round, whatever its share.
    expect((await care().scrubTenant({ tenantId: key.tenantId, share: { index: 0, of: 100_000 } })).objects).toBeGreaterThanOrEqual(600);
    expect(await damageOf(key)).toEqual([null]);
    expect(await conditionsOf(key.tenantId)).toEqual(['healed']);
  });

  it('brings back what is missing, manifests and buckets of datasets among them where there is a copy, and names what it cannot', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: ['a tensor'], files: ['a file'], rows: ['a row'] });
    const [manifest = ''] = await storedKeys(store, `tenants/${key.tenantId}/c/models/`);
    const [bucket = ''] = await storedKeys(store, `tenants/${key.tenantId}/c/datasets/buckets/`);
    const saved = Buffer.concat(await Readable.from(await store.stream(manifest)).toArray());
    await store.delete([manifest, bucket]);
    const found = await care().scrubTenant({ tenantId: key.tenantId, share: { index: 0, of: 100_000 } });
    // A manifest that cannot be read is looked at in every round; the bucket waits for its share.
    expect(found).toMatchObject({
      missing: 1,
      repaired: 0,
      open: [`${key.tenantId}: ${manifest} is damaged or missing, and there is no copy`],
    });
    expect(await damageOf(key)).toEqual([expect.stringContaining(manifest)]);
    expect(await care().scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({ missing: 2 });
    const [datasets] = await pool.query<RowDataPacket[]>('SELECT damage FROM modelwright_control.datasets WHERE tenant_id = ?', [
      key.tenantId,
    ]);
    expect(datasets[0]?.['damage']).toContain(bucket);
    await store.replace(manifest, saved);
    await store.replace(bucket, Buffer.from('a row'));
    expect(await care().scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({ missing: 0, open: [] });
    expect(await damageOf(key)).toEqual([null]);
    // The very bytes, wherever a copy of them lies.
    await store.putContent(baseFileKey(sha256Hex('a file')), Buffer.from('a file'), sha256Hex('a file'));
    const file = `tenants/${key.tenantId}/files/${sha256Hex('a file')}`;
    await store.delete([file]);
    expect(await care().scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({ missing: 1, repaired: 1, open: [] });
    expect(await store.size(file)).toBe(6);
  });

  it('mends what all tenants share from the base model that is installed; without it, every version on it is marked', async () => {
    const folder = await writeTinyEncoder(modelsDir, 'tiny', ['en']);
    const parts = new Map<string, Buffer>();
    await installedBaseParts(
      { modelsDir, shardBytes: defaultShardBytes },
      async (key, bytes) => await Promise.resolve(void parts.set(key, Buffer.from(bytes))),
      () => undefined,
    );
    const shard = [...parts.keys()].find((key) => key.startsWith('base/shards/')) ?? '';
    const bytes = parts.get(shard) ?? Buffer.alloc(0);
    const [one, two] = [await tenant(), await tenant()];
    await store.putContent(shard, bytes, sha256Hex(bytes));
    for (const key of [one, two]) await publishVersion(pool, store, key, { base: ['other base', bytes] });
    expect(baseShardKey(sha256Hex(bytes))).toBe(shard);
    const damaged = Buffer.from(bytes);
    damaged[20] = (damaged[20] ?? 0) ^ 1;
    await store.replace(shard, damaged);
    expect(await care().scrubBase(all)).toMatchObject({ damaged: 1, repaired: 1, open: [] });
    await expect(store.read({ key: shard, sha256: sha256Hex(bytes) })).resolves.toBeDefined();
    await rm(folder, { recursive: true });
    await store.delete([shard]);
    expect(await care().scrubBase(all)).toMatchObject({ missing: 1, repaired: 0 });
    for (const key of [one, two]) {
      await care().scrubTenant({ tenantId: key.tenantId, ...all });
      expect(await damageOf(key)).toEqual([expect.stringContaining(shard)]);
      expect(await conditionsOf(key.tenantId)).toEqual([]);
    }
    expect(await conditionsOf('base models')).toEqual(['open']);
    await writeTinyEncoder(modelsDir, 'tiny', ['en']);
    expect(await care().scrubBase(all)).toMatchObject({ missing: 1, repaired: 1, open: [] });
    await care().scrubTenant({ tenantId: one.tenantId, ...all });
    expect(await damageOf(one)).toEqual([null]);
    expect(await conditionsOf('base models')).toEqual(['healed']);
  });

  it('takes neither a torn answer nor a store that is away for damage, nor what was removed meanwhile', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: ['a tensor'] });
    await publishVersion(pool, store, key, { shards: ['another'] });
    const shard = shardOf(key, 'a tensor');
    const torn = new Set<string>();
    const tearing: ObjectStore = {
      ...store,
      stream: async (path) => {
        if (!path.includes('/shards/') || torn.has(path)) return await store.stream(path);
        torn.add(path);
        return Readable.from([Buffer.from('a ten')]);
      },
    };
    expect(await care({ store: tearing }).scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({ damaged: 0, missing: 0 });
    expect(torn.size).toBe(2);
    const away: ObjectStore = {
      ...store,
      stream: async (path) => await (path === shard ? Promise.reject(new StoreUnavailable('away')) : store.stream(path)),
    };
    await expect(care({ store: away }).scrubTenant({ tenantId: key.tenantId, ...all })).rejects.toMatchObject({ type: 'Unavailable' });
    const removing: ObjectStore = {
      ...store,
      stream: async (path) => {
        if (path === shard) {
          await pool.query(
            'UPDATE modelwright_control.model_versions SET removed_at = UTC_TIMESTAMP(6) WHERE tenant_id = ? AND version = 1',
            [key.tenantId],
          );
          await store.delete([shard]);
        }
        return await store.stream(path);
      },
    };
    expect(await care({ store: removing }).scrubTenant({ tenantId: key.tenantId, ...all })).toMatchObject({
      damaged: 0,
      missing: 0,
      open: [],
    });
    expect(await damageOf(key)).toEqual([null, null]);
  });

  it('by the schedule reads every object once in as many rounds as the setting says', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: Array.from({ length: 30 }, (_, n) => `shard ${n}`) });
    const { objects } = await care().scrubTenant({ tenantId: key.tenantId, ...all });
    for (const scrubRounds of [3, 7]) {
      const rounds = care({ scrubRounds });
      const seen: number[] = [];
      let read = 0;
      for (let n = 0; n < scrubRounds; n++) {
        const roundId = `scrub-${scrubRounds}-${n}`;
        const { share } = await rounds.beginStoreRound({ roundId, kind: 'scrub', everything: false });
        // A repeated call is told the same.
        expect(await rounds.beginStoreRound({ roundId, kind: 'scrub', everything: false })).toEqual({ share });
        const part = await rounds.scrubTenant({ tenantId: key.tenantId, share });
        read += part.objects;
        seen.push(share?.index ?? -1);
        await rounds.endStoreRound({ roundId, report: { ...part, share, failed: [] } });
      }
      expect(seen).toEqual(Array.from({ length: scrubRounds }, (_, n) => n));
      expect(read).toBe(objects);
    }
    expect(await care().beginStoreRound({ roundId: 'all', kind: 'scrub', everything: true })).toEqual({ share: null });
  });
});
