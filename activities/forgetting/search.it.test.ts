import { zstdCompressSync } from 'node:zlib';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DatasetRow } from '../../core/dataset.ts';
import type { ForgettingKey } from '../../core/forgetting.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { S3Place } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import { tenantShardKey } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createOwedObjects } from '../../store/owed-objects.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { askToForget, certificateOf, forgetUntilItWaits, forgettingDependencies } from '../../test/support/asked-forgetting.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { FaultProxy } from '../../test/support/fault-proxy.ts';
import { startStoreCare } from '../../test/support/store-care-scene.ts';
import { newTenant, publishVersion, storedKeys } from '../../test/support/stored-runs.ts';
import { twoSiteStore } from '../../test/support/two-site-store.ts';
import { settleSites } from '../store-care/settle-sites.ts';
import { createStoreCareActivities } from '../store-care/store-care-activities.ts';
import { createForgettingActivities } from './forgetting-activities.ts';
import { loadForgetting } from './forgettings.ts';

let scene: Awaited<ReturnType<typeof startStoreCare>>;
let other: TestStack;
let proxy: FaultProxy;
let pool: Pool;
let count = 0;

beforeAll(async () => {
  [scene, other] = await Promise.all([startStoreCare(10), startTestStack({ engines: ['s3'] })]);
  ({ pool } = scene);
  proxy = await FaultProxy.to(Number(new URL(scene.stack.config.s3.endpoint).port));
});
afterAll(async () => {
  await proxy.stop();
  await scene.stop();
  await other.remove();
});

const secret = 'Quuxinella von Zanzibar ate 41 tomatoes';
const row = (id: string, text: string): DatasetRow => ({ id, split: 'train', text, label: 'food' });
const others = [row('a', 'a soup of cheese'), row('b', 'the bread of yesterday')];

/** A version without the row serves, and holds these shards too; the row is asked to be forgotten. */
async function scenario(
  store: ObjectStore,
  shards: readonly string[] = [],
): Promise<{ readonly key: CustomizationKey; readonly request: ForgettingKey }> {
  const key = await newTenant(pool, `s${++count}`);
  await publishVersion(pool, store, key, { examples: [...others, row('secret', secret)], shards: ['own 1'] });
  await publishVersion(pool, store, key, { examples: others, shards: ['own 2', ...shards] }, true);
  return { key, request: await askToForget(pool, key, ['secret']) };
}
const forget = async (store: ObjectStore, request: ForgettingKey): Promise<readonly string[]> =>
  await forgetUntilItWaits(await forgettingDependencies(scene.stack.config, pool, store), request);
const overwrite = async (s3: S3Place, key: string, bytes: Buffer): Promise<void> =>
  void (await createS3Client({ s3 }).send(new PutObjectCommand({ Bucket: s3.bucket, Key: key, Body: bytes })));
/** The one bucket of the dataset that is left. */
async function bucketOf(store: ObjectStore, { tenantId, customizationId }: CustomizationKey): Promise<string> {
  const [manifests] = await pool.query<(RowDataPacket & { manifest_key: string; manifest_sha256: string })[]>(
    'SELECT manifest_key, manifest_sha256 FROM modelwright_control.datasets WHERE tenant_id = ? AND customization_id = ? AND number = 2',
    [tenantId, customizationId],
  );
  const { manifest_key: key = '', manifest_sha256: sha256 = '' } = manifests[0] ?? {};
  const { buckets } = JSON.parse(Buffer.from(await store.read({ key, sha256 })).toString('utf8')) as {
    buckets: { ref: { key: string } }[];
  };
  return buckets[0]?.ref.key ?? '';
}
const uncertified = async (request: ForgettingKey): Promise<void> => {
  const { state, certificate } = await loadForgetting(pool, request);
  expect({ state, certificate }).toEqual({ state: 'blocked', certificate: null });
};

describe('the search for texts that are forgotten', () => {
  it('vouches for nothing while a packed object is damaged, and goes on when it is whole', async () => {
    const { store } = scene;
    const { key, request } = await scenario(store);
    const bucket = await bucketOf(store, key);
    const whole = Buffer.from(await store.read({ key: bucket, sha256: /[0-9a-f]{64}/.exec(bucket)?.[0] ?? '' }));
    // Its datasets are looked into: from here on it is the search that reads them.
    await createForgettingActivities(await forgettingDependencies(scene.stack.config, pool, store)).lookForgetting(request);
    // Cut short, no zstd at all, and other rows well packed.
    for (const bytes of [
      whole.subarray(0, whole.byteLength - 3),
      Buffer.from('not packed'),
      zstdCompressSync(Buffer.from('{"id":"z"}\n')),
    ]) {
      await overwrite(scene.stack.config.s3, bucket, bytes);
      expect(await forget(store, request)).toEqual([
        expect.stringMatching(`^${bucket} does not have the bytes it should have: .*mw store scrub`),
      ]);
      await uncertified(request);
    }
    // The scrub looks at it whatever its share, and there is no copy.
    const care = createStoreCareActivities(scene.dependencies);
    expect(await care.scrubTenant({ tenantId: key.tenantId, share: { index: 99, of: 100 } })).toMatchObject({ damaged: 1, repaired: 0 });
    await overwrite(scene.stack.config.s3, bucket, whole);
    expect(await forget(store, request)).toEqual([]);
    expect((await certificateOf(pool, request)).search.texts).toBe(1);
  });

  it('looks again into a dataset that could not be read, and withdraws it only if it holds the rows', async () => {
    const { store } = scene;
    const { key, request } = await scenario(store);
    const bucket = await bucketOf(store, key);
    const whole = Buffer.from(await store.read({ key: bucket, sha256: /[0-9a-f]{64}/.exec(bucket)?.[0] ?? '' }));
    await overwrite(scene.stack.config.s3, bucket, Buffer.from('damaged'));
    expect((await forget(store, request))[0]).toContain('dataset 2 is damaged, so it is taken to hold them');
    await overwrite(scene.stack.config.s3, bucket, whole);
    expect(await forget(store, request)).toEqual([]);
    expect((await certificateOf(pool, request)).withdrawn).toEqual({ versions: [1], datasets: [1] });
  });

  it('goes on when the scrub has mended what was damaged from a copy', async () => {
    const { store } = scene;
    const { key, request } = await scenario(store, ['a shard with a copy']);
    await publishVersion(pool, store, await newTenant(pool, `s${++count}`), { shards: ['a shard with a copy'] }, true);
    const shard = tenantShardKey(key.tenantId, sha256Hex('a shard with a copy'));
    await overwrite(scene.stack.config.s3, shard, Buffer.from('a shard with a twist'));
    expect((await forget(store, request)).join()).toContain(`${shard} does not have the bytes it should have`);
    await uncertified(request);
    const care = createStoreCareActivities(scene.dependencies);
    expect(await care.scrubTenant({ tenantId: key.tenantId, share: { index: 99, of: 100 } })).toMatchObject({ damaged: 1, repaired: 1 });
    expect(await forget(store, request)).toEqual([]);
  });

  it.each(['first', 'second'] as const)('reads both sites: what is damaged on the %s is named, and mended from the other', async (name) => {
    const { store, ...sites } = twoSiteStore([scene.stack.config.s3, other.config.s3], createOwedObjects(pool));
    const { key, request } = await scenario(store);
    const bucket = await bucketOf(store, key);
    await overwrite((name === 'first' ? scene.stack : other).config.s3, bucket, Buffer.from('flipped'));
    expect((await forget(store, request)).join()).toContain(
      `${bucket} on the ${name} site of the store does not have the bytes it should have`,
    );
    await uncertified(request);
    // As the sharding worker does it every minute.
    expect(await settleSites(pool, store, () => undefined)).toBe(1);
    expect(await forget(store, request)).toEqual([]);
    const { search } = await certificateOf(pool, request);
    const keys = await storedKeys(sites.first, `tenants/${key.tenantId}/`);
    expect(await storedKeys(sites.second, `tenants/${key.tenantId}/`)).toEqual(keys);
    expect(search.objects).toBe(2 * keys.length);
  });

  it('takes no bytes that were changed on their way for what is stored', async () => {
    const { s3 } = scene.stack.config;
    const store = createS3ObjectStore(createS3Client({ s3: { ...s3, endpoint: proxy.endpoint } }), s3.bucket);
    // A text that nothing explains, in a shard of the version that stays: its middle is what the proxy changes.
    const { key, request } = await scenario(store, [secret]);
    const shard = tenantShardKey(key.tenantId, sha256Hex(secret));
    proxy.follow(({ path }) => (path.includes(shard) ? 'body-wrong' : null));
    expect((await forget(store, request)).join()).toContain(`${shard} does not have the bytes it should have`);
    await uncertified(request);
    for (const fault of ['body-wrong', 'body-short'] as const) {
      let passed = 0;
      proxy.follow(({ path, method }) => (method === 'GET' && path.includes(shard) && passed++ === 0 ? fault : null));
      expect(await forget(store, request)).toEqual([`${shard} still has one of the texts`]);
      expect(passed).toBeGreaterThan(1);
    }
    proxy.follow(() => null);
  });
});
