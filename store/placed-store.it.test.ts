import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '../platform/hash.ts';
import { createLogger } from '../platform/logger.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { createS3Client } from '../platform/s3.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { ensureBucket } from '../infra/s3/bucket.ts';
import { probedGateway } from '../workers/gateway.ts';
import { GatewayRefused } from './gateway-refused.ts';
import { keptEmbeddingsKey, tenantFileKey } from './keys.ts';
import { keysOf } from './object-store-contract.ts';
import { ObjectMissing, type ObjectStore } from './object-store.ts';
import { openStore, placesOf } from './open-store.ts';
import { probePlace } from './placement-probe.ts';
import { loadPlacements, parsePlacements } from './placements.ts';
import { createS3ObjectStore } from './s3-object-store.ts';
import { TenantUnplaced, createTenantPlacements, placeTenant, placementProblems, readPlacement } from './tenant-placements.ts';

let folder: string;
let stack: TestStack;
let other: TestStack;
let pool: Pool;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-placed-'));
  const file = join(folder, 'placements.json');
  await writeFile(file, JSON.stringify({ fast: { bucket: 'nvme' }, also: { bucket: 'nvme' }, slow: { bucket: 'disk' } }));
  [stack, other] = await Promise.all([
    startTestStack({ engines: ['mysql', 's3'], env: { MW_PLACEMENTS: file } }),
    startTestStack({ engines: ['s3'] }),
  ]);
  pool = createPool(stack.config);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
  await other.remove();
  await rm(folder, { recursive: true });
});

/** As another process sees it. */
const opened = (): ObjectStore => openStore(stack.config, pool);
const inBucket = (bucket: string, { s3 } = stack.config): ObjectStore => createS3ObjectStore(createS3Client({ s3 }), bucket);
async function tenant(placement: string | null, bucket: string | null = placement === 'slow' ? 'disk' : 'nvme'): Promise<string> {
  const id = `placed-${++count}`;
  if (placement !== null && !(await placed(id, placement, bucket))) throw new Error(`${id} could not be placed`);
  return id;
}
async function placed(id: string, placement: string | null, bucket: string | null): Promise<boolean> {
  const connection = await pool.getConnection();
  try {
    await connection.beginTransaction();
    return await placeTenant(connection, id, { placement, bucket });
  } finally {
    await connection.commit();
    connection.release();
  }
}
const put = async (store: ObjectStore, key: string, content: string) =>
  await store.putContent(key, Buffer.from(content), sha256Hex(content));
/** In which buckets a key lies. */
async function bucketsOf(key: string, { config } = stack): Promise<string[]> {
  const all = [...new Set([config.s3.bucket, 'nvme', 'disk'])];
  const there = await Promise.all(all.map(async (bucket) => (await inBucket(bucket, config).size(key)) !== null));
  return all.filter((_, at) => there[at]);
}

describe('a store in which tenants are placed', () => {
  it('has everything of a tenant in its bucket, whichever way it is stored, and nothing elsewhere', async () => {
    const store = opened();
    const tenantId = await tenant('fast');
    const key = { tenantId, customizationId: 'c' };
    const content = 'of a placed tenant';
    const sha256 = sha256Hex(content);
    const file = tenantFileKey(tenantId, sha256);
    const { ref } = await put(store, file, content);
    expect(ref).toEqual({ bucket: stack.config.s3.bucket, key: file, sha256, bytes: content.length });
    await store.putNew(`tenants/${tenantId}/c/models/v1-1.1/manifest.json`, Buffer.from('{}'));
    await store.putContentStream(`tenants/${tenantId}/c/runs/1/1/large`, {
      bytes: content.length,
      sha256,
      open: async () => await inBucket('nvme').stream(file),
    });
    await store.replace(`tenants/${tenantId}/c/runs/1/1/replaced`, Buffer.from('x'));
    for (const target of [keptEmbeddingsKey(key), `tenants/${tenantId}/c/runs/1/1/result.json`])
      expect((await fetch(await store.presignPut(target, 60), { method: 'PUT', body: 'by address' })).status).toBe(200);
    expect(await (await fetch(await store.presignGet(keptEmbeddingsKey(key), 60))).text()).toBe('by address');

    const keys = await keysOf(store, `tenants/${tenantId}/`);
    expect(keys).toHaveLength(5);
    for (const stored of [...keys, keptEmbeddingsKey(key)]) expect(await bucketsOf(stored)).toEqual(['nvme']);
    expect(Buffer.from(await store.read(ref)).toString()).toBe(content);
    expect(await text(await store.streamPart(file, 3, 6))).toBe('a plac');
    expect(await store.size(file)).toBe(content.length);
    const twin = await tenant(null);
    await put(store, tenantFileKey(twin, sha256), content);
    expect(await bucketsOf(tenantFileKey(twin, sha256))).toEqual([stack.config.s3.bucket]);
    await put(store, `base/files/${sha256}`, content);
    expect(await bucketsOf(`base/files/${sha256}`)).toEqual([stack.config.s3.bucket]);
    // One request for objects of both.
    await store.delete([file, tenantFileKey(twin, sha256)]);
    for (const gone of [file, tenantFileKey(twin, sha256)]) expect(await bucketsOf(gone)).toEqual([]);
    await expect(store.read(ref)).rejects.toThrow(ObjectMissing);
  });

  it('lists what lies below a prefix of many tenants once, in the order of keys, and gives up uploads in every bucket', async () => {
    const store = opened();
    const ids = [await tenant('fast'), await tenant('also'), await tenant('slow'), await tenant(null)];
    const wanted = ids.map((id) => keptEmbeddingsKey({ tenantId: id, customizationId: 'listed' }));
    for (const key of wanted) await put(store, key, 'kept');
    // Left where its tenant does not lie: no key means it.
    await put(inBucket('disk'), wanted[0] ?? '', 'a stray');
    const listed = await keysOf(store, 'kept/');
    expect(listed.filter((key) => key.includes('/listed/'))).toEqual([...wanted].sort());
    expect(listed).toEqual([...listed].sort());
    expect(await store.dropUploads('kept/', Date.now())).toBe(0);
  });

  it('keeps a tenant where it is from the first byte on, whoever stores it and whoever would move it at the same moment', async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = await tenant(null);
      const key = tenantFileKey(id, sha256Hex(id));
      // One process has seen the tenant before it is placed.
      const [early, late] = [opened(), opened()];
      expect(await early.size(key)).toBeNull();
      const [moved] = await Promise.all([placed(id, 'fast', 'nvme'), put(early, key, id), put(late, key, id)]);
      const where = moved ? 'nvme' : stack.config.s3.bucket;
      expect(await bucketsOf(key)).toEqual([where]);
      expect(Buffer.from(await opened().read({ key, sha256: sha256Hex(id) })).toString()).toBe(id);
      expect(await readPlacement(pool, id)).toMatchObject({ placement: moved ? 'fast' : null, placed: true });
      expect(await placed(id, 'slow', 'disk')).toBe(false);
      expect(await placed(id, moved ? 'fast' : null, moved ? 'nvme' : null)).toBe(true);
    }
  });

  it('fixes the tenant before an address is given away', async () => {
    const id = await tenant('fast');
    const key = `tenants/${id}/c/runs/1/1/result.json`;
    const address = await opened().presignPut(key, 60);
    expect(await placed(id, 'slow', 'disk')).toBe(false);
    await fetch(address, { method: 'PUT', body: 'late' });
    expect(await text(await opened().stream(key))).toBe('late');
  });

  it('asks nobody where a tenant lies that is known to stay there', async () => {
    const id = await tenant('fast');
    let asked = 0;
    const counting = new Proxy(pool, { get: (target, name: keyof Pool) => (name === 'query' && asked++, target[name]) });
    const tenants = createTenantPlacements(counting, loadPlacements(stack.config));
    for (let n = 0; n < 3; n += 1) expect(await tenants.of(id)).toBe('fast');
    expect(asked).toBe(3);
    await Promise.all(Array.from({ length: 10 }, () => tenants.fix(id)));
    for (let n = 0; n < 3; n += 1) expect(await tenants.of(id)).toBe('fast');
    expect(asked).toBe(5);
  });

  it('says what is wrong where the settings of a process do not lead to a tenant’s objects, and stores nothing elsewhere', async () => {
    const unknown = await tenant('fast');
    const moved = await tenant('slow');
    const store = openStore({ ...stack.config, settings: { ...stack.config.settings, MW_PLACEMENTS: undefined } }, pool);
    const key = tenantFileKey(unknown, sha256Hex('x'));
    await expect(put(store, key, 'x')).rejects.toThrow(TenantUnplaced);
    await expect(store.size(key)).rejects.toThrow(
      `objects of tenant ${unknown} lie by placement fast, which MW_PLACEMENTS of this process does not name`,
    );
    expect(await bucketsOf(key)).toEqual([]);
    const changed = parsePlacements({ fast: { bucket: 'nvme' }, also: { bucket: 'nvme' }, slow: { bucket: 'elsewhere' } }, 'f');
    await expect(createTenantPlacements(pool, changed).of(moved)).rejects.toThrow(
      'lie in bucket disk, but placement slow of MW_PLACEMENTS says bucket elsewhere here',
    );
    expect(await placementProblems(pool, changed)).toEqual([
      expect.stringMatching(/^objects of tenant placed-\d+ and \d+ more lie in bucket disk/),
    ]);
    expect(await placementProblems(pool, loadPlacements(stack.config))).toEqual([]);
  });

  it('refuses a bucket that is not there and a class that the gateway ignores, by the name of the placement', async () => {
    for (const place of placesOf(stack.config)) expect(await probePlace(place)).toMatchObject({ range: true });
    const [, place] = placesOf(stack.config);
    if (!place) throw new Error('a place');
    const refusal = async (s3: Partial<typeof place.s3>): Promise<string> => {
      const error: unknown = await probePlace({ ...place, s3: { ...place.s3, ...s3 } }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(GatewayRefused);
      return String(error);
    };
    expect(await refusal({ bucket: 'not-there' })).toMatch(
      /bucket not-there of placement fast does not exist on http.*make it, or name one/,
    );
    expect(await refusal({ storageClass: 'NVME' })).toMatch(/(ignores|does not take) storage class NVME of placement fast in bucket nvme/);
    expect(await keysOf(inBucket('nvme'), 'probe/')).toEqual([]);

    // So does a worker that starts.
    const logger = createLogger('test', 'silent');
    const start = async (config = stack.config): Promise<void> => await probedGateway(config, pool, logger, AbortSignal.timeout(60_000));
    await start();
    const wrong = join(folder, 'wrong.json');
    await writeFile(wrong, JSON.stringify({ fast: { bucket: 'nvme' }, slow: { bucket: 'not-there' } }));
    const misread = { ...stack.config, settings: { ...stack.config.settings, MW_PLACEMENTS: wrong } };
    await expect(start(misread)).rejects.toThrow(/bucket not-there of placement slow does not exist/);
    // The buckets of a site that is away cannot be tried: the other site is enough.
    await start({ ...stack.config, secondS3: { ...other.config.s3, endpoint: 'http://127.0.0.1:9' } });
  });

  it('lies on two sites in the same buckets, and is read from either', async () => {
    const secondS3 = other.config.s3;
    for (const bucket of ['nvme', 'disk']) await ensureBucket({ s3: { ...secondS3, bucket } });
    const config = { ...stack.config, secondS3 };
    const store = openStore(config, pool);
    const id = await tenant('fast');
    const key = tenantFileKey(id, sha256Hex(id));
    await put(store, key, id);
    expect(await bucketsOf(key)).toEqual(['nvme']);
    expect(await bucketsOf(key, other)).toEqual(['nvme']);
    await stack.pause('s3');
    try {
      expect(Buffer.from(await store.read({ key, sha256: sha256Hex(id) })).toString()).toBe(id);
      expect(await keysOf(store, `tenants/${id}/`)).toEqual([key]);
      const late = tenantFileKey(id, sha256Hex('late'));
      await put(store, late, 'late');
      expect(await bucketsOf(late, other)).toEqual(['nvme']);
    } finally {
      await stack.resume('s3');
    }
    // Not known here: that is no fault of a site, and nobody else is served by one site only.
    const misled = openStore({ ...config, settings: { ...config.settings, MW_PLACEMENTS: undefined } }, pool);
    await expect(put(misled, key, id)).rejects.toThrow(/lie by placement fast/);
    const [one] = misled.sites ?? [];
    const free = tenantFileKey(await tenant(null), sha256Hex('free'));
    await put(misled, free, 'free');
    expect(await one?.store.size(free)).toBe(4);
    expect(await bucketsOf(free, other)).toEqual([secondS3.bucket]);
  });
});
