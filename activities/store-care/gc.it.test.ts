import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { GcReport } from '../../core/store-care.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { type Pool, type RowDataPacket } from '../../platform/mysql.ts';
import { signerOf, trustOf } from '../../platform/config.ts';
import type { PredictorClient } from '../../platform/predictor-client.ts';
import { createModelStore } from '../../predictor/model-store.ts';
import { baseShardKey, keptEmbeddingsKey, stagingKey, tenantShardKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { storageUse } from '../../store/storage-use.ts';
import type { TestStack } from '../../test/support/engines.ts';
import { Dying } from '../../test/support/dying.ts';
import { StoredRun, newTenant, publishVersion, storedKeys } from '../../test/support/stored-runs.ts';
import { collectGarbage, startStoreCare } from '../../test/support/store-care-scene.ts';
import { writeTinyEncoder } from '../../test/support/tiny-encoders.ts';
import { createDatasetActivities } from '../dataset/dataset-activities.ts';
import type { DatasetRef } from '../../core/dataset.ts';
import type { GateVerdict } from '../../core/model.ts';
import type { TrainingRef } from '../ports.ts';
import { promoteModel } from '../registry/promotions.ts';
import { createShardingActivities } from '../sharding/sharding-activities.ts';
import { defaultShardBytes } from '../sharding/store-tensors.ts';
import { installedBaseParts } from './installed-base.ts';
import { baseScope, beginSweeps, endSweeps, modelsScope, takeLease } from './leases.ts';
import { withinQuota } from './quota-guard.ts';
import { type StoreCareDependencies, createStoreCareActivities } from './store-care-activities.ts';

let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let modelsDir: string;
let dependencies: StoreCareDependencies;
let stop: () => Promise<void>;
let count = 0;

beforeAll(async () => void ({ stack, pool, store, modelsDir, dependencies, stop } = await startStoreCare(2)));
afterAll(async () => await stop());

const tenant = (quotas = {}): Promise<CustomizationKey> => newTenant(pool, `t${++count}`, quotas);
let rounds = 0;
const round = (): string => `round-${++rounds}`;

const collect = (dryRun: boolean, changed: Partial<StoreCareDependencies> = {}, roundId = round()): Promise<GcReport> =>
  collectGarbage({ ...dependencies, ...changed }, roundId, dryRun);
const sweep = (key: CustomizationKey, changed: Partial<StoreCareDependencies> = {}, roundId = round()) =>
  createStoreCareActivities({ ...dependencies, ...changed }).sweepTenant({ tenantId: key.tenantId, roundId, dryRun: false });
const shardOf = ({ tenantId }: CustomizationKey, text: string): string => tenantShardKey(tenantId, sha256Hex(text));
const has = async (key: string): Promise<boolean> => (await store.size(key)) !== null;
const put = (key: string, text: string): Promise<unknown> => store.putContent(key, Buffer.from(text), sha256Hex(text));
async function removedVersions({ tenantId, customizationId }: CustomizationKey): Promise<number[]> {
  const [rows] = await pool.query<(RowDataPacket & { version: number })[]>(
    'SELECT version FROM modelwright_control.model_versions WHERE tenant_id = ? AND customization_id = ? AND removed_at IS NOT NULL ORDER BY version',
    [tenantId, customizationId],
  );
  return rows.map(({ version }) => version);
}

describe('a garbage collection', () => {
  it('removes what nothing refers to, first telling exactly the same in a dry run, and finds nothing the second time', async () => {
    const key = await tenant();
    const other = await tenant();
    // v1 serves, v2 is held, v5 and v6 are the newest: v3 and v4 go. What v3 shares with v6 stays.
    for (let n = 1; n <= 6; n++)
      await publishVersion(
        pool,
        store,
        key,
        { shards: [`own ${n}`, n === 3 || n === 6 ? 'shared' : `other ${n}`], files: ['labels'], base: ['the base'] },
        n === 1,
      );
    await pool.query('INSERT INTO modelwright_control.model_holds (tenant_id, customization_id, version) VALUES (?, ?, 2)', [
      key.tenantId,
      key.customizationId,
    ]);
    await publishVersion(pool, store, other, { shards: ['own 3'] }, true);
    await put(baseShardKey(sha256Hex('an old base')), 'an old base');
    await put(shardOf(key, 'an orphan'), 'an orphan');
    await put(`tenants/${key.tenantId}/notes.txt`, 'not ours');
    await put(keptEmbeddingsKey(key), 'kept');
    await put(keptEmbeddingsKey({ ...key, customizationId: 'gone' }), 'kept of a deleted one');
    const running = await StoredRun.open(pool, store, key);
    await put(stagingKey(running.key, 1, 'checkpoint'), 'staged by a run that goes on');

    const before = await storedKeys(store);
    const told = await collect(true);
    expect(await storedKeys(store)).toEqual(before);
    expect(await removedVersions(key)).toEqual([]);
    const done = await collect(false);
    expect({ ...done, dryRun: true }).toEqual(told);
    expect(await removedVersions(key)).toEqual([3, 4]);
    expect(done).toMatchObject({ versions: 2, datasets: 2, unknown: { objects: 1 }, deferred: [] });
    const after = await storedKeys(store);
    expect(before.length - after.length).toBe(Object.values(done.removed).reduce((sum, { objects }) => sum + objects, 0));
    for (const gone of ['own 3', 'other 4', 'own 4', 'an orphan']) expect(await has(shardOf(key, gone))).toBe(false);
    for (const kept of ['own 1', 'own 2', 'own 5', 'own 6', 'shared']) expect(await has(shardOf(key, kept))).toBe(true);
    expect(await has(shardOf(other, 'own 3'))).toBe(true);
    expect(await has(baseShardKey(sha256Hex('the base')))).toBe(true);
    expect(await has(baseShardKey(sha256Hex('an old base')))).toBe(false);
    expect(after).toContain(`tenants/${key.tenantId}/notes.txt`);
    expect(after).toContain(keptEmbeddingsKey(key));
    expect(after).not.toContain(keptEmbeddingsKey({ ...key, customizationId: 'gone' }));
    // Of staging only what the run that goes on has left.
    expect(after.filter((path) => path.includes('/runs/'))).toEqual([stagingKey(running.key, 1, 'checkpoint')]);
    expect((await collect(false)).removed).toEqual((await collect(true)).removed);
    expect(await storedKeys(store)).toEqual(after);
    // Everything that the registry still names is readable.
    const models = createModelStore(pool, store, join(stack.home, 'cache'), trustOf(stack.config));
    for (const version of [1, 2, 5, 6])
      for (const part of (await models.manifest(key, version)).shards) await expect(store.read(part)).resolves.toBeDefined();
    await expect(models.manifest(key, 3)).rejects.toThrow(/v3 of c was removed from the store/);
    const asked = { ...key, requestKey: 'r', version: 3, actor: 'ada', reason: null, force: true, fence: null };
    await expect(promoteModel(pool, asked)).rejects.toThrow(/v3 was removed from the store/);
  });

  it('leaves everything alone that is younger than the grace', async () => {
    const key = await tenant();
    for (let n = 1; n <= 4; n++) await publishVersion(pool, store, key, { shards: [`own ${n}`] });
    await put(shardOf(key, 'an orphan'), 'an orphan');
    const before = await storedKeys(store);
    const report = await collect(false, { retention: { keepVersions: 1, graceMs: 3_600_000, lockMs: 0 } });
    expect(report).toMatchObject({ versions: 0, datasets: 0 });
    expect(Object.values(report.removed).every(({ objects }) => objects === 0)).toBe(true);
    expect(await storedKeys(store)).toEqual(before);
  });

  it('removes everything of a deleted customization, of which another one with its id can begin anew', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: ['own'] }, true);
    await pool.query('DELETE FROM modelwright.customizations WHERE tenant_id = ?', [key.tenantId]);
    await sweep(key);
    expect(await storedKeys(store, `tenants/${key.tenantId}/`)).toEqual([]);
    await newTenant(pool, key.tenantId);
    const [aliases] = await pool.query<RowDataPacket[]>('SELECT 1 FROM modelwright_control.aliases WHERE tenant_id = ?', [key.tenantId]);
    expect(aliases).toEqual([]);
    expect(await publishVersion(pool, store, key, { shards: ['own'] }, true)).toBe(2);
    await sweep(key);
    expect(await has(shardOf(key, 'own'))).toBe(true);
  });

  it('keeps the base models that are installed, whoever uses them', async () => {
    await writeTinyEncoder(modelsDir, 'tiny', ['en']);
    const installed: string[] = [];
    await installedBaseParts(
      { modelsDir, shardBytes: defaultShardBytes },
      async (path, bytes, sha256) => {
        installed.push(path);
        await store.putContent(path, bytes, sha256);
      },
      () => undefined,
    );
    expect(installed.length).toBeGreaterThan(3);
    await collect(false);
    for (const path of installed) expect(await has(path)).toBe(true);
    await rm(join(modelsDir, 'tiny'), { recursive: true });
    await collect(false);
    for (const path of installed) expect(await has(path)).toBe(false);
  });

  it('removes nothing of a kind where a manifest cannot be read, and says so', async () => {
    const key = await tenant();
    await publishVersion(pool, store, key, { shards: ['own'], base: ['its base'] }, true);
    await put(shardOf(key, 'an orphan'), 'an orphan');
    const [manifest] = (await storedKeys(store, `tenants/${key.tenantId}/c/models/`)) as [string];
    const whole = await text(manifest);
    await store.replace(manifest, Buffer.from('{}'));
    const report = await collect(false);
    expect(report.deferred.join('\n')).toContain(`${key.tenantId}/c: what version 1 refers to is not known`);
    for (const left of [shardOf(key, 'own'), shardOf(key, 'an orphan'), baseShardKey(sha256Hex('its base'))])
      expect(await has(left)).toBe(true);
    await store.replace(manifest, Buffer.from(whole));
    await collect(false);
    expect(await has(shardOf(key, 'an orphan'))).toBe(false);
    expect(await has(shardOf(key, 'own'))).toBe(true);
  });
});

async function text(key: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await store.stream(key)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

describe('a publish in the middle of a garbage collection', () => {
  it('that took over an old object first keeps it: the collector leaves the tenant for its next round', async () => {
    const key = await tenant();
    await put(shardOf(key, 'taken over'), 'taken over');
    const run = await StoredRun.open(pool, store, key);
    await run.dataset(['row']);
    await run.state('sharding');
    await takeLease(pool, run.key, [modelsScope(key.tenantId), baseScope]);
    await run.shard({ shards: ['taken over'], base: ['the base'] });
    const report = await collect(false);
    expect(report.deferred.join('\n')).toContain(modelsScope(key.tenantId));
    expect(report.deferred.join('\n')).toContain('base: a run may take over');
    expect(await has(shardOf(key, 'taken over'))).toBe(true);
    expect(await run.publish()).toBe(1);
    // Registered: the lease is over, and the object is needed.
    await put(shardOf(key, 'an orphan'), 'an orphan');
    expect((await collect(false)).deferred).toEqual([]);
    expect(await has(shardOf(key, 'taken over'))).toBe(true);
    expect(await has(shardOf(key, 'an orphan'))).toBe(false);
  });

  it('that comes while something is removed waits, and then stores anew what it had seen', async () => {
    const key = await tenant();
    await put(shardOf(key, 'swept'), 'swept');
    const run = await StoredRun.open(pool, store, key);
    await run.dataset(['row']);
    await run.state('sharding');
    const scopes = [modelsScope(key.tenantId), baseScope];
    let refused = '';
    const slow: ObjectStore = {
      ...store,
      delete: async (keys, signal) => {
        if (keys.some((one) => one.includes('/shards/')))
          refused = await takeLease(pool, run.key, scopes).then(
            () => 'not at all',
            (error: unknown) => (error as Error).message,
          );
        await store.delete(keys, signal);
      },
    };
    await sweep(key, { store: slow });
    expect(refused).toMatch(/garbage is being removed from the store/);
    expect(await has(shardOf(key, 'swept'))).toBe(false);
    await takeLease(pool, run.key, scopes);
    await run.shard({ shards: ['swept'] });
    expect(await run.publish()).toBe(1);
    await sweep(key);
    expect(await has(shardOf(key, 'swept'))).toBe(true);
  });

  it('is held back by the activities themselves, before they look what is stored', async () => {
    const key = await tenant();
    const { key: run } = await StoredRun.open(pool, store, key);
    const catalog = await loadCatalog();
    const beat = (): void => undefined;
    const sharding = createShardingActivities({
      pool,
      store,
      catalog,
      modelsDir,
      predictor: {} as PredictorClient,
      signer: signerOf(stack.config),
      shardBytes: defaultShardBytes,
      beat,
    });
    const datasets = createDatasetActivities({
      pool,
      store,
      catalog,
      modelsDir,
      maxTextChars: 1,
      predict: () => Promise.reject(new Error()),
      beat,
    });
    const scopes = [`models/${key.tenantId}`, `datasets/${key.tenantId}/c`, `gates/${key.tenantId}/c`];
    await beginSweeps(pool, 'another round', scopes);
    const input = { ...run, attempt: 1, dataset: {} as DatasetRef, training: {} as TrainingRef, verdict: {} as GateVerdict };
    const busy = /garbage is being removed from the store/;
    await expect(sharding.shardModel(input)).rejects.toThrow(busy);
    await expect(datasets.buildDataset({ ...run, dirtyBuckets: null })).rejects.toThrow(busy);
    await expect(datasets.evaluateGate(input)).rejects.toThrow(busy);
    await endSweeps(pool, 'another round', scopes);
    await expect(sharding.shardModel(input)).rejects.not.toThrow(busy);
  });

  it('is not stopped for ever by a collector that died, and a zombie of it removes nothing', async () => {
    const key = await tenant();
    const { key: run } = await StoredRun.open(pool, store, key);
    await put(shardOf(key, 'seen as garbage'), 'seen as garbage');
    let zombie = false;
    const dying: ObjectStore = {
      ...store,
      delete: async (keys, signal) => {
        if (keys.some((one) => one.includes('/shards/')) && !zombie) {
          zombie = true;
          throw new Error('the collector died here');
        }
        await store.delete(keys, signal);
      },
    };
    const roundId = round();
    // Its end is what a process that is killed never comes to: the sweep is still on record.
    await expect(sweep(key, { store: dying }, roundId)).rejects.toThrow('the collector died here');
    await beginSweeps(pool, roundId, [modelsScope(key.tenantId)]);
    await expect(takeLease(pool, run, [modelsScope(key.tenantId)])).rejects.toThrow(/garbage is being removed/);
    await pool.query('UPDATE modelwright_control.store_sweeps SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE round_id = ?', [
      roundId,
    ]);
    await takeLease(pool, run, [modelsScope(key.tenantId)]);
    expect((await sweep(key, {}, roundId)).deferred.join()).toContain(modelsScope(key.tenantId));
    expect(await has(shardOf(key, 'seen as garbage'))).toBe(true);
    // The run ends without a version: its lease is void, and the same round, tried again, removes what it had seen.
    await new Promise((resolve) => setTimeout(resolve, 5));
    await pool.query("UPDATE modelwright_control.runs SET state = 'failed' WHERE tenant_id = ?", [key.tenantId]);
    await sweep(key, {}, roundId);
    expect(await has(shardOf(key, 'seen as garbage'))).toBe(false);
  });

  it('dies anywhere and comes to the same end when it is tried again', async () => {
    const key = await tenant();
    for (let n = 1; n <= 4; n++) await publishVersion(pool, store, key, { shards: [`own ${n}`] }, n === 1);
    const dying = new Dying();
    const { counting } = dying;
    const mortal: ObjectStore = {
      ...store,
      read: counting((ref) => store.read(ref)),
      delete: counting((keys, signal) => store.delete(keys, signal)),
    };
    const roundId = round();
    let ended = false;
    let dieAt = 1;
    for (; !ended && dieAt < 200; dieAt++) {
      dying.at(dieAt);
      ended = await sweep(key, { store: mortal }, roundId).then(
        () => true,
        () => false,
      );
    }
    expect(ended).toBe(true);
    expect(await removedVersions(key)).toEqual([2]);
    expect(await has(shardOf(key, 'own 2'))).toBe(false);
    for (const n of [1, 3, 4]) expect(await has(shardOf(key, `own ${n}`))).toBe(true);
    const [sweeps] = await pool.query<RowDataPacket[]>('SELECT scope FROM modelwright_control.store_sweeps WHERE round_id = ?', [roundId]);
    expect(sweeps).toEqual([]);
  });

  it('of a run that has ended already is refused', async () => {
    const key = await tenant();
    const run = await StoredRun.open(pool, store, key);
    await run.dataset(['row']);
    await run.shard({ shards: ['late'] });
    await run.state('failed');
    await expect(run.publish()).rejects.toThrow(/run 1 is over \(failed\) and published nothing: it must not publish/);
  });
});

describe('the storage quota', () => {
  it('counts datasets and models, refuses a version that would pass it, and lets one that fits', async () => {
    const key = await tenant({ storageBytes: 6_000 });
    const big = 'x'.repeat(2_500);
    await publishVersion(pool, store, key, { shards: [big] }, true);
    const run = await StoredRun.open(pool, store, key);
    await run.dataset(['row']);
    const used = await storageUse(store, key.tenantId);
    expect(used.models.bytes).toBeGreaterThan(2_500);
    expect(used.staging.objects).toBe(2);
    const publish = (shards: readonly string[]): Promise<void> =>
      withinQuota(pool, store, key.tenantId, (guarded) => run.shard({ shards, base: ['y'.repeat(9_000)] }, guarded));
    await expect(publish([big, 'z'.repeat(3_000)])).rejects.toMatchObject({
      type: 'StorageQuota',
      message: expect.stringMatching(/may have 0\.0 MB in the store \(quota storageBytes\).*its models 0\.0 MB, and this one would add/),
    });
    // Nothing half-published: no manifest, and not a byte over the quota.
    expect((await storedKeys(store, `tenants/${key.tenantId}/c/models/`)).length).toBe(1);
    const { datasets, models } = await storageUse(store, key.tenantId);
    expect(datasets.bytes + models.bytes).toBeLessThanOrEqual(6_000);
    // What is stored already, and what all share, costs nothing more.
    await publish([big]);
    expect(await run.publish()).toBe(2);
  });

  it('refuses at least one of two versions that are stored at once and fit only alone', async () => {
    const key = await tenant({ storageBytes: 5_000 });
    const runs = [await StoredRun.open(pool, store, key), await StoredRun.open(pool, store, key)];
    let waiting = 0;
    let both = (): void => undefined;
    const met = new Promise<void>((resolve) => (both = resolve));
    const results = await Promise.allSettled(
      runs.map((run, n) =>
        withinQuota(pool, store, key.tenantId, async (guarded) => {
          await run.shard({ shards: [`${n}`.repeat(3_000)] }, guarded);
          if (++waiting === 2) both();
          await met;
        }),
      ),
    );
    expect(results.some(({ status }) => status === 'rejected')).toBe(true);
  });
});
