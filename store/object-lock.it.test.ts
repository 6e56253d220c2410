import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, DeleteObjectCommand, PutObjectLockConfigurationCommand } from '@aws-sdk/client-s3';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCeph } from '../infra/ceph/ceph.ts';
import { canRunCeph } from '../infra/ceph/requirements.ts';
import { ensureBucket } from '../infra/s3/bucket.ts';
import type { S3Place } from '../platform/config.ts';
import { sha256Hex } from '../platform/hash.ts';
import { projectDir, resolvePaths } from '../platform/paths.ts';
import { createS3Client } from '../platform/s3.ts';
import { startTestStack } from '../test/support/engines.ts';
import { twoSiteStore } from '../test/support/two-site-store.ts';
import { everyVersion, startVersionedGateway } from '../test/support/versioned-gateway.ts';
import { proxyOf } from './gateway-probe-contract.ts';
import { probeGateway } from './gateway-probe.ts';
import { GatewayRefused } from './gateway-refused.ts';
import { type HiddenVersion, ObjectsLocked } from './object-locks.ts';
import type { ObjectStore } from './object-store.ts';
import { createPlacedStore } from './placed-store.ts';
import { createS3ObjectStore } from './s3-object-store.ts';
import { storageUse } from './storage-use.ts';

const openAt = (s3: S3Place): ObjectStore => createS3ObjectStore(createS3Client({ s3 }), s3.bucket);
const put = (store: ObjectStore, key: string, text = key): Promise<unknown> => store.putContent(key, Buffer.from(text), sha256Hex(text));
const lock = async (store: ObjectStore, keys: readonly string[], ms: number): Promise<void> =>
  await store.locks?.lock(keys, Date.now() + ms);
const lockedOf = async (store: ObjectStore, key: string): Promise<number> => (await store.locks?.locked([key]))?.get(key) ?? 0;
const until = async (endMs: number): Promise<void> => await sleep(Math.max(0, endMs - Date.now()) + 1_000);
async function refusalOf(s3: S3Place, lockDays: number): Promise<string> {
  const error: unknown = await probeGateway({ s3 }, 'MW_S3', lockDays).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(GatewayRefused);
  return (error as Error).message;
}
async function lockedBy(deletion: Promise<void>): Promise<ReadonlyMap<string, number | null>> {
  const error: unknown = await deletion.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ObjectsLocked);
  return (error as ObjectsLocked).locked;
}

type Opened = { readonly s3: S3Place; readonly close: () => Promise<void> };

function lockContract(open: () => Promise<Opened>, versions: boolean): void {
  let opened: Opened;
  let s3: S3Place;
  let store: ObjectStore;
  beforeAll(async () => {
    opened = await open();
    ({ s3 } = opened);
    store = openAt(s3);
  });
  afterAll(async () => await opened?.close());

  it('is found by the probe, which leaves nothing behind', async () => {
    expect(await probeGateway({ s3 }, 'MW_S3', 1)).toMatchObject({ objectLock: true, versions });
    expect(await everyVersion(s3, 'probe/')).toEqual([]);
  });

  it('keeps a locked object from being deleted, and nothing else, until its end', async () => {
    const [locked, free] = ['a/locked', 'a/free'] as const;
    for (const key of [locked, free]) await put(store, key);
    await lock(store, [locked], 8_000);
    const endMs = await lockedOf(store, locked);
    expect(endMs).toBeGreaterThan(Date.now());
    expect([...(await lockedBy(store.delete([free, locked])))]).toEqual([[locked, endMs]]);
    expect(await everyVersion(s3, 'a/')).toEqual([locked]);
    await expect(store.read({ key: locked, sha256: sha256Hex(locked) })).resolves.toBeDefined();
    expect((await store.putNew(locked, Buffer.from('another'))).created).toBe(false);
    await until(endMs);
    expect(await lockedOf(store, locked)).toBe(0);
    await store.delete([locked]);
    expect(await everyVersion(s3, 'a/')).toEqual([]);
    // The key is free again.
    expect((await store.putNew(locked, Buffer.from('another'))).created).toBe(true);
    await store.delete([locked]);
  });

  it('is extended and never shortened, and repeated without harm', async () => {
    const key = 'b/extended';
    await put(store, key);
    await lock(store, [key], 100_000);
    const first = await lockedOf(store, key);
    await lock(store, [key], 200_000);
    const second = await lockedOf(store, key);
    expect(second).toBeGreaterThan(first + 50_000);
    await lock(store, [key], 50_000);
    await store.locks?.lock([key], second);
    expect(await lockedOf(store, key)).toBe(second);
    await expect(lock(store, ['b/missing'], 1_000)).rejects.toThrow('b/missing does not exist');
    expect([...((await store.locks?.locked(['b/missing', key])) ?? [])]).toEqual([[key, second]]);
    await store.delete([key], undefined, true);
    expect(await everyVersion(s3, 'b/')).toEqual([]);
  });

  it('does not stand in the way of a repair, and lasts as long afterwards', async () => {
    const key = 'c/damaged';
    await put(store, key, 'torn');
    await lock(store, [key], 100_000);
    const endMs = await lockedOf(store, key);
    await store.replace(key, Buffer.from('whole'));
    await expect(store.read({ key, sha256: sha256Hex('whole') })).resolves.toBeDefined();
    expect(await lockedOf(store, key)).toBe(endMs);
    await lockedBy(store.delete([key]));
    // Where versions are kept, what was there before is one that nobody sees, and locked as it was.
    const hidden = [];
    for await (const version of store.locks?.hidden('c/') ?? []) hidden.push(version);
    expect(hidden).toHaveLength(versions ? 1 : 0);
    expect([...((await store.locks?.lockedHidden(hidden)) ?? [])].map(([version]) => version)).toEqual(hidden);
    await store.delete([key], undefined, true);
    expect(await everyVersion(s3, 'c/')).toEqual([]);
  });
}

describe('object lock of the light S3 server', () => {
  const open = async () => {
    const stack = await startTestStack({ engines: ['s3'], env: { MW_OBJECT_LOCK_DAYS: '1' } });
    return { s3: stack.config.s3, close: () => stack.remove() };
  };
  lockContract(open, false);
});

describe('object lock of a gateway that keeps versions', () => {
  const open = async () => {
    const { locked: s3, close } = await startVersionedGateway();
    return { s3, close };
  };
  lockContract(open, true);
});

describe('a bucket that keeps versions', () => {
  let gateway: Awaited<ReturnType<typeof startVersionedGateway>>;
  beforeAll(async () => void (gateway = await startVersionedGateway()));
  afterAll(async () => await gateway?.close());

  it('has none of them left when an object is deleted', async () => {
    const { versioned: s3 } = gateway;
    expect(await probeGateway({ s3 })).toMatchObject({ objectLock: false, versions: true });
    const store = openAt(s3);
    await put(store, 'd/1', 'older');
    await store.replace('d/1', Buffer.from('newer'));
    await put(store, 'd/11');
    await store.delete(['d/1', 'd/none']);
    expect(await everyVersion(s3, 'd/')).toEqual(['d/11']);
    expect((await store.putNew('d/1', Buffer.from('anew'))).created).toBe(true);
  });

  it('counts what no reader sees as what it takes, and lets it go for good', async () => {
    const { versioned: s3, client } = gateway;
    const store = openAt(s3);
    const key = `tenants/t/shards/${'a'.repeat(64)}.safetensors`;
    await store.replace(key, Buffer.from('12345'));
    await store.replace(key, Buffer.from('1234567'));
    expect((await storageUse(store, 't')).models.bytes).toBe(12);
    await client.send(new DeleteObjectCommand({ Bucket: s3.bucket, Key: key }));
    expect(await store.size(key)).toBeNull();
    expect((await storageUse(store, 't')).models.bytes).toBe(12);
    const hidden = [];
    for await (const version of store.locks?.hidden('tenants/t/') ?? []) hidden.push(version);
    expect(hidden.map(({ bytes }) => bytes).sort((a, b) => a - b)).toEqual([0, 5, 7]);
    await store.locks?.dropHidden(hidden);
    expect(await everyVersion(s3, 'tenants/t/')).toEqual([]);
  });

  it('is refused where its versions cannot be removed', async () => {
    const { versioned: s3 } = gateway;
    const forbidden = (_: unknown, url: string, method: string) => (method === 'GET' && url.includes('versions') ? 403 : null);
    const { url, server } = await proxyOf(s3, { fail: forbidden });
    expect(await refusalOf({ ...s3, endpoint: url }, 0)).toMatch(/keeps versions, and the key in MW_S3_ACCESS_KEY cannot remove them/);
    close(server);
  });

  it('does not let a deletion pass that only hides, where the key may not ask for versions', async () => {
    const { versioned: s3 } = gateway;
    const { url, server } = await proxyOf(s3, { fail: (_, path) => (path.includes('versioning') ? 403 : null) });
    const store = openAt({ ...s3, endpoint: url });
    await put(store, 'e/1');
    await expect(store.delete(['e/1'])).rejects.toThrow(/only hid it: the bucket keeps versions/);
    close(server);
  });
});

describe('a bucket without object lock', () => {
  let gateway: Awaited<ReturnType<typeof startVersionedGateway>>;
  beforeAll(async () => void (gateway = await startVersionedGateway()));
  afterAll(async () => await gateway?.close());
  const named = (bucket: string): S3Place => ({ ...gateway.locked, bucket });

  it('is refused while the setting asks for it, with what to do', async () => {
    await ensureBucket({ s3: named('plain') });
    expect(await probeGateway({ s3: named('plain') })).toMatchObject({ objectLock: false });
    for (const bucket of ['plain', 'versioned'])
      expect(await refusalOf(named(bucket), 30)).toMatch(
        /MW_OBJECT_LOCK_DAYS is 30, and bucket \w+ of http.* has no object lock: .*only be switched on when a bucket is made.*MW_S3_BUCKET/,
      );
    // The gateway does not take it afterwards: the bucket stays as it is.
    await ensureBucket({ s3: named('plain') }, true);
    expect(await refusalOf(named('plain'), 30)).toContain('has no object lock');
    await ensureBucket({ s3: named('made-with-it') }, true);
    expect(await probeGateway({ s3: named('made-with-it') }, 'MW_S3', 30)).toMatchObject({ objectLock: true });
  });

  it('is found by `mw doctor`', async () => {
    await ensureBucket({ s3: named('doctored') });
    const { endpoint, accessKey, secretKey } = gateway.locked;
    const doctor = async (days: string): Promise<string> => {
      const home = await mkdtemp(join(tmpdir(), 'mw-doctor-'));
      const env = {
        MW_HOME: home,
        MW_S3_ENDPOINT: endpoint,
        MW_S3_BUCKET: 'doctored',
        MW_S3_ACCESS_KEY: accessKey,
        MW_S3_SECRET_KEY: secretKey,
      };
      const run = promisify(execFile)(process.execPath, ['cli/main.ts', 'doctor', '--json'], {
        cwd: projectDir,
        env: { ...process.env, ...env, MW_OBJECT_LOCK_DAYS: days },
      });
      // Other problems of this machine are none of this test's: only what is printed counts.
      const { stdout } = await run.catch((error: unknown) => error as { stdout: string });
      await rm(home, { recursive: true, force: true });
      return stdout;
    };
    expect(await doctor('30')).toMatch(/MW_OBJECT_LOCK_DAYS is 30, and bucket doctored .* has no object lock/);
    const { problems, store } = JSON.parse(await doctor('0')) as { problems: { problem: string }[]; store: object };
    expect(problems.filter(({ problem }) => problem.includes('object lock'))).toEqual([]);
    expect(store).toMatchObject({ objectLock: false, versions: false });
  });

  it('is refused where the gateway takes no lock, or locks whatever is stored', async () => {
    const { url, server } = await proxyOf(gateway.locked, { fail: (_, path) => (path.includes('?retention') ? 501 : null) });
    expect(await refusalOf({ ...gateway.locked, endpoint: url }, 1)).toMatch(/takes no PutObjectRetention in bucket locked/);
    close(server);
    const Bucket = 'by-default';
    await gateway.client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }));
    const Rule = { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } } as const;
    await gateway.client.send(
      new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule } }),
    );
    expect(await refusalOf(named(Bucket), 0)).toContain('locks every object that is stored, by a rule of its own');
  });
});

describe('object lock on two sites', () => {
  it('is on both or is an error, and what either holds is held', async () => {
    const gateways = [await startVersionedGateway(), await startVersionedGateway()] as const;
    const [first, second] = gateways;
    try {
      const { store, ...sites } = twoSiteStore([first.locked, second.locked]);
      await put(store, 'f/both');
      await lock(store, ['f/both'], 60_000);
      for (const site of [sites.first, sites.second]) expect(await lockedOf(site, 'f/both')).toBeGreaterThan(Date.now());
      await put(store, 'f/one');
      await lock(sites.second, ['f/one'], 60_000);
      expect(await lockedOf(store, 'f/one')).toBeGreaterThan(Date.now());
      await lockedBy(store.delete(['f/one']));
      await second.close();
      await expect(lock(store, ['f/both'], 120_000)).rejects.toThrow(/f\/both/);
    } finally {
      await first.close();
    }
  });
});

describe('object lock where tenants lie in buckets of their own', () => {
  it('is that of the bucket which has the object, and stops no deletion elsewhere', async () => {
    const gateway = await startVersionedGateway();
    try {
      const apart = { ...gateway.locked, bucket: 'apart' };
      await ensureBucket({ s3: apart }, true);
      const placed = async (tenantId: string): Promise<string | null> => (tenantId === 'acme' ? 'apart' : null);
      const store = createPlacedStore(openAt(gateway.locked), new Map([['apart', openAt(apart)]]), { of: placed, fix: placed });
      const [acme, other, free] = ['tenants/acme/shards/1', 'tenants/other/shards/1', 'tenants/other/shards/2'];
      for (const key of [acme, other, free]) await put(store, key);
      await lock(store, [acme, other], 6_000);
      expect(await lockedOf(openAt(apart), acme)).toBeGreaterThan(Date.now());
      const held = await store.locks?.locked([acme, other, free]);
      expect([...(held?.keys() ?? [])].sort()).toEqual([acme, other]);
      expect(await lockedBy(store.delete([acme, other, free]))).toEqual(held);
      expect(await store.size(free)).toBeNull();

      // What somebody else hid in either bucket is found, held, and let go.
      for (const [s3, key] of [
        [apart, acme],
        [gateway.locked, other],
      ] as const)
        await createS3Client({ s3 }).send(new DeleteObjectCommand({ Bucket: s3.bucket, Key: key }));
      const hidden: HiddenVersion[] = [];
      for await (const version of store.locks?.hidden('tenants/') ?? []) hidden.push(version);
      expect(new Set(hidden.map(({ key }) => key))).toEqual(new Set([acme, other]));
      expect([...((await store.locks?.lockedHidden(hidden))?.keys() ?? [])].map(({ key }) => key).sort()).toEqual([acme, other]);
      await until(Math.max(...[...(held?.values() ?? [])].map(Number)));
      await store.locks?.dropHidden(hidden);
      for (const s3 of [apart, gateway.locked]) expect(await everyVersion(s3, 'tenants/')).toEqual([]);
    } finally {
      await gateway.close();
    }
  });
});

const why = canRunCeph();
describe.skipIf(why !== null)(`object lock of Ceph${why === null ? '' : ` (left out: ${why})`}`, () => {
  it('is refused: this gateway forgets `If-None-Match` where it keeps versions, which it must for a lock', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mw-ceph-'));
    const { s3, stop } = await startCeph({ home: join(folder, 'ceph'), paths: resolvePaths(process.env) });
    try {
      expect(await refusalOf(s3, 1)).toContain(`bucket ${s3.bucket} of ${s3.endpoint} has no object lock`);
      const locked = { ...s3, bucket: 'locked' };
      await ensureBucket({ s3: locked }, true);
      expect(await refusalOf(locked, 1)).toMatch(
        /ignores `If-None-Match: \*` on PUT in bucket locked, which keeps versions.*without object lock/,
      );
      // What the store itself does with locks and versions holds there too.
      const store = openAt(locked);
      await put(store, 'g/locked');
      await store.replace('g/free', Buffer.from('older'));
      await store.replace('g/free', Buffer.from('newer'));
      await lock(store, ['g/locked'], 8_000);
      const endMs = await lockedOf(store, 'g/locked');
      expect([...(await lockedBy(store.delete(['g/locked', 'g/free'])))]).toEqual([['g/locked', endMs]]);
      expect(await everyVersion(locked, 'g/')).toEqual(['g/locked']);
      await until(endMs);
      await store.delete(['g/locked']);
      expect(await everyVersion(locked, '')).toEqual([]);
    } finally {
      await stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

function close(server: Server): void {
  server.closeAllConnections();
  server.close();
}
