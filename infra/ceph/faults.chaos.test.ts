import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { ObjectRef } from '../../core/object-ref.ts';
import { randomBytes } from '../../platform/clock.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { createS3Client } from '../../platform/s3.ts';
import { type ObjectStore, StoreUnavailable } from '../../store/object-store.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { type Ceph, type CephOptions, startCeph } from './ceph.ts';
import { canRunCeph } from './requirements.ts';

const why = canRunCeph();
const objectBytes = 4 * 1024 ** 2;
const smallOsdBytes = 3 * 1024 ** 3;
/** Of the small OSD: more than a new one takes, and soon reached. */
const fullAt = 0.2;
/** More than fit below `fullAt`. */
const mostObjects = 400;
/** Longer than an OSD is missed after and its groups need to go on, shorter than a whole test. */
const shortPatienceMs = 25_000;

describe.skipIf(why !== null)(`faults of a real Ceph${why === null ? '' : ` (left out: ${why})`}`, () => {
  let folder: string | undefined;
  let ceph: Ceph | undefined;
  afterEach(async () => {
    await ceph?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });
  const start = async (options: Pick<CephOptions, 'osds' | 'osdBytes'>): Promise<Ceph> => {
    folder = await mkdtemp(join(tmpdir(), 'mw-ceph-'));
    ceph = await startCeph({ home: join(folder, 'ceph'), paths: resolvePaths(process.env), ...options });
    return ceph;
  };
  const put = async (store: ObjectStore, name: string): Promise<ObjectRef> => {
    const bytes = randomBytes(objectBytes);
    return (await store.putContent(name, bytes, sha256Hex(bytes))).ref;
  };

  it('goes on with equal bytes when one of three OSDs is killed', async () => {
    const { s3, killOsd, startOsd, command } = await start({ osds: 3 });
    const store = createS3ObjectStore(createS3Client({ s3 }), s3.bucket);
    const refs: ObjectRef[] = [];
    for (let index = 0; index < 6; index += 1) refs.push(await put(store, `before/${index}`));
    expect(await command('osd', 'pool', 'get', 'default.rgw.buckets.data', 'erasure_code_profile')).toContain('models');
    await killOsd(1);
    // At once: the others have not noticed yet.
    for (let index = 0; index < 6; index += 1) refs.push(await put(store, `without/${index}`));
    for (const ref of refs) await store.read(ref);
    await expect(store.putNew(refs[0]?.key ?? '', Buffer.from('late'))).resolves.toMatchObject({ created: false });
    expect(await command('osd', 'stat')).toMatch(/3 osds: 2 up/);
    await startOsd(1);
    for (const ref of refs) await store.read(ref);
  });

  it('says that there is no room when an OSD is full, loses nothing, and goes on when there is', async () => {
    const { s3, command } = await start({ osds: 1, osdBytes: smallOsdBytes });
    const client = createS3Client({ s3 });
    const store = createS3ObjectStore(client, s3.bucket, { patienceMs: shortPatienceMs });
    const limits = async (full: number): Promise<void> => {
      await command('osd', 'set-nearfull-ratio', String(full * 0.8));
      await command('osd', 'set-backfillfull-ratio', String(full * 0.9));
      await command('osd', 'set-full-ratio', String(full));
    };
    await limits(fullAt);
    const refs: ObjectRef[] = [];
    let refused: unknown = null;
    while (refused === null && refs.length < mostObjects) {
      const stored = await put(store, `fill/${refs.length}`).catch((error: unknown) => ({ error }));
      if ('error' in stored) refused = stored.error;
      else refs.push(stored);
    }
    expect(refused).toBeInstanceOf(StoreUnavailable);
    expect(String(refused)).toMatch(/did not take it in time.*a pool is full.*ceph health detail/);
    expect(await command('health', 'detail')).toContain('osd.0 is full');
    // What is stored is read; the object that was refused is not half there.
    for (const ref of [refs[0], refs.at(-1)]) if (ref) await store.read(ref);
    expect(await store.size(`fill/${refs.length}`)).toBeNull();
    await limits(0.9);
    // Under another key: Ceph may take the one that it did not take in time after all, now that there is room.
    refs.push(await put(store, 'fill/more'));
    for (const ref of refs) await store.read(ref);
  });
});
