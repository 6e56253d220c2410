import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sha256Hex } from '../platform/hash.ts';
import { createModelStore } from './model-store.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-cache-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('drops from the cache what was written before a time, and nothing else; without a cache there is nothing to drop', async () => {
  const of = (cacheDir: string) => createModelStore(null as never, null as never, cacheDir, null as never);
  await of(join(folder, 'none')).dropCachedBefore(Number.MAX_SAFE_INTEGER);
  const store = of(folder);
  for (const [name, atMs] of [
    ['old', 1_000_000],
    ['young', 3_000_000],
  ] as const) {
    const path = store.cachePath(sha256Hex(name));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, name);
    await utimes(path, atMs / 1_000, atMs / 1_000);
  }
  await store.dropCachedBefore(2_000_000);
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  expect(files.map(({ name }) => name)).toEqual([sha256Hex('young')]);
});
