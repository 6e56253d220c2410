import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { settleSites } from '../activities/store-care/settle-sites.ts';
import { randomBytes } from '../platform/clock.ts';
import type { S3Place } from '../platform/config.ts';
import { sha256Hex } from '../platform/hash.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { interruptedStream } from '../test/support/interrupted-stream.ts';
import { StallingProxy } from '../test/support/stalling-proxy.ts';
import { keysOf } from './object-store-contract.ts';
import type { ObjectStore } from './object-store.ts';
import { openStore } from './open-store.ts';
import { listOwed } from './owed-objects.ts';
import { tenantFileKey } from './keys.ts';

let stacks: readonly [TestStack, TestStack];
let pool: Pool;

beforeAll(async () => {
  stacks = await Promise.all([startTestStack({ engines: ['mysql', 's3'] }), startTestStack({ engines: ['s3'] })]);
  pool = createPool(stacks[0].config, { connectionLimit: 4 });
});
afterAll(async () => {
  await pool.end();
  for (const stack of stacks) await stack.remove();
});

let count = 0;
const fresh = (): { readonly bytes: Buffer; readonly sha256: string; readonly key: string } => {
  const bytes = Buffer.from(`object ${(count += 1)} ${randomBytes(8).toString('hex')}`);
  const sha256 = sha256Hex(bytes);
  return { bytes, sha256, key: tenantFileKey('acme', sha256) };
};

/** As the settings open it, with its own time limits; one site behind a way that can go silent. */
async function behind(silent: 0 | 1): Promise<{ readonly store: ObjectStore; readonly proxy: StallingProxy }> {
  const { config } = stacks[0];
  const places: [S3Place, S3Place] = [config.s3, stacks[1].config.s3];
  const proxy = await StallingProxy.to(Number(new URL(places[silent].endpoint).port));
  places[silent] = { ...places[silent], endpoint: `http://127.0.0.1:${proxy.port}` };
  return { store: openStore({ ...config, s3: places[0], secondS3: places[1] }, pool), proxy };
}

// A call that meets a silent site takes its time limits, about half a minute: here, that it ends is what is tested.
describe('a site that is silent, every connection left open', { timeout: 600_000 }, () => {
  it.each([0, 1] as const)('is given up: with site %i silent everything goes on, and what it missed is made good', async (silent) => {
    const name = silent === 0 ? 'first' : 'second';
    const { store, proxy } = await behind(silent);
    const before = fresh();
    await store.putContent(before.key, before.bytes, before.sha256);
    proxy.goSilent();
    const after = fresh();
    await store.putContent(after.key, after.bytes, after.sha256);
    expect(Buffer.from(await store.read(before))).toEqual(before.bytes);
    expect(await text(await store.stream(before.key))).toBe(before.bytes.toString());
    expect(await keysOf(store, before.key)).toEqual([before.key]);
    expect(await store.size(after.key)).toBe(after.bytes.byteLength);
    const manifest = `tenants/acme/c/models/v${silent + 1}-1.1/manifest.json`;
    expect((await store.putNew(manifest, Buffer.from('{}'))).created).toBe(true);
    expect(await (await fetch(await store.presignGet(after.key, 60))).text()).toBe(after.bytes.toString());
    expect((await listOwed(pool, name, '', 10)).map(({ key }) => key).sort()).toEqual([after.key, manifest].sort());
    // It is heard of again, on new connections.
    proxy.letNewThrough();
    const { store: later, proxy: through } = await behind(silent);
    expect(await settleSites(pool, later, () => undefined)).toBe(2);
    expect(await listOwed(pool, name, '', 10)).toEqual([]);
    for (const site of later.sites ?? []) expect(await site.store.size(manifest)).toBe(2);
    await proxy.stop();
    await through.stop();
  });

  it('is left in the middle of a stream, which goes on at the other one', async () => {
    const { store, proxy } = await behind(0);
    const { stored, read } = await interruptedStream(store, () => proxy.goSilent());
    expect(read).toBe(stored);
    await proxy.stop();
  });

  it('that is a stopped process (SIGSTOP) is given up too', async () => {
    const { config } = stacks[0];
    const store = openStore({ ...config, secondS3: stacks[1].config.s3 }, pool);
    const one = fresh();
    await store.putContent(one.key, one.bytes, one.sha256);
    stacks[1].kill('s3', 'SIGSTOP');
    try {
      const other = fresh();
      await store.putContent(other.key, other.bytes, other.sha256);
      expect(Buffer.from(await store.read(other))).toEqual(other.bytes);
      expect((await listOwed(pool, 'second', '', 10)).map(({ key }) => key)).toEqual([other.key]);
    } finally {
      stacks[1].kill('s3', 'SIGCONT');
    }
    const later = openStore({ ...config, secondS3: stacks[1].config.s3 }, pool);
    await expect.poll(() => settleSites(pool, later, () => undefined), { timeout: 120_000 }).toBe(1);
  });
});
