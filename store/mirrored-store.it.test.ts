import { text } from 'node:stream/consumers';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { randomBytes } from '../platform/clock.ts';
import { sha256Hex } from '../platform/hash.ts';
import { createS3Client } from '../platform/s3.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { interruptedStream } from '../test/support/interrupted-stream.ts';
import { rememberedOwed, twoSiteStore } from '../test/support/two-site-store.ts';
import { tenantFileKey } from './keys.ts';
import { keysOf } from './object-store-contract.ts';
import { CorruptObject, ObjectMissing, type ObjectStore, StoreUnavailable } from './object-store.ts';

let stacks: TestStack[];
let owed: ReturnType<typeof rememberedOwed>;
let store: ObjectStore;
let first: ObjectStore;
let second: ObjectStore;
let count = 0;

beforeAll(async () => {
  stacks = await Promise.all([startTestStack({ engines: ['s3'] }), startTestStack({ engines: ['s3'] })]);
});
afterAll(async () => {
  for (const stack of stacks) await stack.remove();
});
/** Of its own for each test: what a process has seen of its sites is in memory. */
beforeEach(() => {
  owed = rememberedOwed();
  const [one, two] = stacks.map(({ config }) => config.s3);
  if (!one || !two) throw new Error('two servers');
  ({ store, first, second } = twoSiteStore([one, two], owed));
});

const fresh = (): { readonly bytes: Buffer; readonly sha256: string; readonly key: string } => {
  const bytes = Buffer.from(`object ${(count += 1)} ${randomBytes(8).toString('hex')}`);
  const sha256 = sha256Hex(bytes);
  return { bytes, sha256, key: tenantFileKey('acme', sha256) };
};
const without = async <T>(site: 0 | 1, work: () => Promise<T>): Promise<T> => {
  await stacks[site]?.pause('s3');
  try {
    return await work();
  } finally {
    await stacks[site]?.resume('s3');
  }
};
const overwrite = async (site: 0 | 1, key: string, bytes: Buffer): Promise<void> => {
  const { s3 } = stacks[site]!.config;
  await createS3Client({ s3 }).send(new PutObjectCommand({ Bucket: s3.bucket, Key: key, Body: bytes }));
};

describe('a store on two sites', () => {
  it('has everything on both', async () => {
    const { bytes, sha256, key } = fresh();
    expect((await store.putContent(key, bytes, sha256)).created).toBe(true);
    await store.putNew('tenants/acme/c/models/v1-1.1/manifest.json', Buffer.from('{}'));
    for (const site of [first, second]) {
      expect(Buffer.from(await site.read({ key, sha256 }))).toEqual(bytes);
      expect(await site.size('tenants/acme/c/models/v1-1.1/manifest.json')).toBe(2);
    }
    await store.delete([key]);
    for (const site of [first, second]) expect(await site.size(key)).toBeNull();
    expect(owed.noted).toEqual(new Set());
  });

  it.each([0, 1] as const)(
    'reads, writes, lists and gives addresses while site %i is away, and puts on record what it lacks',
    async (away) => {
      const before = fresh();
      await store.putContent(before.key, before.bytes, before.sha256);
      const [name, there] = away === 0 ? ['first', second] : ['second', first];
      const after = fresh();
      const manifest = `tenants/acme/c/models/v2-${away}.1/manifest.json`;
      await without(away, async () => {
        expect(Buffer.from(await store.read(before))).toEqual(before.bytes);
        expect(await text(await store.stream(before.key))).toBe(before.bytes.toString());
        expect(await text(await store.streamPart(before.key, 0, 6))).toBe('object');
        await store.putContent(after.key, after.bytes, after.sha256);
        expect((await store.putNew(manifest, Buffer.from('{"v":2}'))).created).toBe(true);
        expect((await store.putNew(manifest, Buffer.from('{"v":3}'))).created).toBe(false);
        expect(await keysOf(store, before.key)).toEqual([before.key]);
        expect(await (await fetch(await store.presignGet(after.key, 60))).text()).toBe(after.bytes.toString());
        expect((await fetch(await store.presignPut(`staged-${away}`, 60), { method: 'PUT', body: 'x' })).status).toBe(200);
        expect(await store.size('tenants/acme/files/none')).toBeNull();
        await store.delete([before.key]);
      });
      expect(owed.noted).toEqual(new Set([`${name} copy ${after.key}`, `${name} copy ${manifest}`, `${name} removal ${before.key}`]));
      expect(await there.size(after.key)).toBe(after.bytes.byteLength);
      // The one that was away is back: nobody wins a key anew that the other one has given away.
      const { store: later } = twoSiteStore([stacks[0]!.config.s3, stacks[1]!.config.s3], owed);
      expect((await later.putNew(manifest, Buffer.from('{"v":4}'))).created).toBe(false);
      for (const site of [first, second]) expect(await text(await site.stream(manifest))).toBe('{"v":2}');
    },
  );

  it('calls nothing missing that only the site which is away can have', async () => {
    const { bytes, sha256, key } = fresh();
    await without(0, () => store.putContent(key, bytes, sha256));
    const { store: later } = twoSiteStore([stacks[0]!.config.s3, stacks[1]!.config.s3], owed);
    await without(1, async () => {
      await expect(later.size(key)).rejects.toThrow(StoreUnavailable);
      await expect(later.stream(key)).rejects.toThrow(StoreUnavailable);
      await expect(later.read({ key, sha256 })).rejects.toThrow(StoreUnavailable);
      // Of what nobody has put on record it is said.
      await expect(later.stream('tenants/acme/files/none')).rejects.toThrow(ObjectMissing);
    });
    expect(Buffer.from(await later.read({ key, sha256 }))).toEqual(bytes);
  });

  it('says that it is away when both are, and stores nothing', async () => {
    const { bytes, sha256, key } = fresh();
    await without(0, () =>
      without(1, async () => {
        await expect(store.putContent(key, bytes, sha256)).rejects.toThrow(StoreUnavailable);
        await expect(store.putNew(key, bytes)).rejects.toThrow(StoreUnavailable);
        await expect(store.read({ key, sha256 })).rejects.toThrow(/first site: .*second site: /);
        await expect(keysOf(store, 'tenants/')).rejects.toThrow(StoreUnavailable);
        await expect(store.delete([key])).rejects.toThrow(StoreUnavailable);
      }),
    );
    expect(owed.noted).toEqual(new Set());
  });

  it('reads past wrong bytes of one site, and names them; of both, it hands out none', async () => {
    const { bytes, sha256, key } = fresh();
    await store.putContent(key, bytes, sha256);
    await overwrite(0, key, Buffer.from('wrong'));
    expect(Buffer.from(await store.read({ key, sha256 }))).toEqual(bytes);
    expect(owed.noted).toEqual(new Set([`first copy ${key}`]));
    const other = fresh();
    await store.putContent(other.key, other.bytes, other.sha256);
    await overwrite(0, other.key, Buffer.from('wrong'));
    // A stream is compared by who reads it; after that it comes from the site that has it right.
    expect(await text(await store.stream(other.key))).toBe('wrong');
    expect(await text(await store.stream(other.key))).toBe(other.bytes.toString());
    await overwrite(1, key, Buffer.from('wrong too'));
    await expect(store.read({ key, sha256 })).rejects.toThrow(CorruptObject);
  });

  it('goes on at the other site where a stream breaks off, killed with kill -9', async () => {
    const { stored, read } = await interruptedStream(store, () => stacks[0]?.kill('s3', 'SIGKILL'));
    expect(read).toBe(stored);
  });

  it('gives both sites what was put on one by its address', async () => {
    const { bytes, sha256, key } = fresh();
    await expect.poll(async () => await first.size('none').catch(() => 'away'), { timeout: 60_000 }).toBeNull();
    const { store: later } = twoSiteStore([stacks[0]!.config.s3, stacks[1]!.config.s3], owed);
    const addresses = (await later.presignAll?.('put', key, 60)) ?? [];
    expect(addresses.map(({ site }) => site)).toEqual(['first', 'second']);
    const [url = '', other = ''] = addresses.map((address) => address.url);
    expect(new URL(url).host).not.toBe(new URL(other).host);
    await fetch(url, { method: 'PUT', body: bytes });
    expect(await second.size(key)).toBeNull();
    await later.spread?.({ key, sha256, bytes: bytes.byteLength });
    expect(Buffer.from(await second.read({ key, sha256 }))).toEqual(bytes);
  });
});
