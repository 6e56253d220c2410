import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readSensing, sensingLines } from '../cli/sensing-table.ts';
import { createStoreCareActivities } from '../activities/store-care/store-care-activities.ts';
import { tenantShardKey } from '../store/keys.ts';
import { createOwedObjects } from '../store/owed-objects.ts';
import { sha256Hex } from '../platform/hash.ts';
import { startStoreCare } from '../test/support/store-care-scene.ts';
import { newTenant, publishVersion } from '../test/support/stored-runs.ts';
import { countStore, storeMetrics } from './store-metrics.ts';

let scene: Awaited<ReturnType<typeof startStoreCare>>;
beforeAll(async () => {
  scene = await startStoreCare(9);
});
afterAll(async () => await scene.stop());

it('counts what the scrub could not mend and what a site lacks, and mw status has the sentence', async () => {
  const { pool, store, dependencies, stack } = scene;
  const registry = new Registry();
  let away = false;
  storeMetrics(registry, () => (away ? Promise.reject(new Error('MySQL is away')) : countStore(pool, ['first', 'second'])));
  const samples = async (): Promise<string[]> => (await registry.metrics()).split('\n').filter((line) => line.startsWith('mw_store_'));
  const none = [
    'damaged_objects{scope="shared"} 0',
    'damaged_objects{scope="tenant"} 0',
    'owed_objects{site="first"} 0',
    'owed_objects{site="second"} 0',
  ];
  expect(await samples()).toEqual(none.map((line) => `mw_store_${line}`));

  const key = await newTenant(pool, 'acme');
  await publishVersion(pool, store, key, { shards: ['a shard without a copy'] }, true);
  const shard = tenantShardKey('acme', sha256Hex('a shard without a copy'));
  await store.replace(shard, Buffer.from('other bytes'));
  const care = createStoreCareActivities(dependencies);
  expect(await care.scrubTenant({ tenantId: 'acme', share: null })).toMatchObject({ damaged: 1, repaired: 0 });
  await createOwedObjects(pool).note({ name: 'second', endpoint: 'http://second', store }, ['a', 'b'], 'copy', 'it did not answer');
  expect(await samples()).toEqual([
    'mw_store_damaged_objects{scope="shared"} 0',
    'mw_store_damaged_objects{scope="tenant"} 1',
    'mw_store_owed_objects{site="first"} 0',
    'mw_store_owed_objects{site="second"} 2',
  ]);
  const said = sensingLines(await readSensing(stack.config)).join('\n');
  expect(said).toContain(`open: stored_object_damaged (acme) since`);
  expect(said).toMatch(
    new RegExp(`${shard} is damaged or missing; affected: .*version 1 of c.*\n {2}remedy: put the object back from a backup`),
  );
  expect(said).toContain('open: store_site_behind (second site of the store) since');
  // No number is better than an old one.
  away = true;
  expect(await samples()).toEqual([]);
  away = false;
  await store.replace(shard, Buffer.from('a shard without a copy'));
  await care.scrubTenant({ tenantId: 'acme', share: null });
  expect((await samples())[1]).toBe('mw_store_damaged_objects{scope="tenant"} 0');
  expect(sensingLines(await readSensing(stack.config)).join('\n')).toContain('healed: stored_object_damaged (acme)');
});
