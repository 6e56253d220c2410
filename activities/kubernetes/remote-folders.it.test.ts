import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { keptEmbeddingsKey, stagingKey } from '../../store/keys.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { writeTinyEncoder } from '../../test/support/tiny-encoders.ts';
import { rememberedOwed, twoSiteStore } from '../../test/support/two-site-store.ts';
import { loadBaseModel } from '../training/base-model.ts';
import { createRemoteJobs } from './remote-folders.ts';

let stacks: readonly [TestStack, TestStack];
let modelsDir: string;
beforeAll(async () => {
  modelsDir = await mkdtemp(join(tmpdir(), 'mw-remote-models-'));
  stacks = await Promise.all([startTestStack({ engines: ['s3'] }), startTestStack({ engines: ['s3'] })]);
});
afterAll(async () => {
  for (const stack of stacks) await stack.remove();
  await rm(modelsDir, { recursive: true, force: true });
});

it('gives a job its checkpoint and kept embeddings on the one site that answers, and finds them there again', async () => {
  const owed = rememberedOwed();
  const opened = () => twoSiteStore([stacks[0].config.s3, stacks[1].config.s3], owed);
  const hosts = stacks.map(({ config }) => new URL(config.s3.endpoint).host);
  const key = { tenantId: 'acme', customizationId: 'c', run: 1 };
  await writeTinyEncoder(modelsDir, 'all-MiniLM-L6-v2', ['en']);
  const base = await loadBaseModel(modelsDir, 'all-MiniLM-L6-v2');
  const put = async (url: string, body: string): Promise<void> => {
    expect((await fetch(url, { method: 'PUT', body })).status).toBe(200);
  };

  await stacks[0].pause('s3');
  const { store: alone } = opened();
  const { checkpoint, cache, baseModel } = await createRemoteJobs(alone, alone).folders(key, 1, base);
  for (const url of [checkpoint.put, cache.put, ...baseModel.map((file) => file.url)]) expect(new URL(url).host).toBe(hosts[1]);
  await put(checkpoint.put, 'a checkpoint');
  await put(cache.put, 'embeddings');
  await stacks[0].resume('s3');

  const { store, first, second } = opened();
  const next = await createRemoteJobs(store, store).folders(key, 2, base);
  // Of this attempt and the one before, on either site.
  expect(next.checkpoint.get.map((url) => new URL(url).host).sort()).toEqual([...hosts, ...hosts].sort());
  const found = await Promise.all(next.checkpoint.get.map(async (url) => await (await fetch(url)).text()));
  expect(found.filter((text) => text === 'a checkpoint')).toHaveLength(1);
  expect(await (await fetch(next.cache.get)).text()).toBe('embeddings');
  // One copy each: they are made again where it is lost.
  const sizes = async (name: string) => await Promise.all([first, second].map((site) => site.size(name)));
  expect(await sizes(stagingKey(key, 1, 'checkpoint'))).toEqual([null, 12]);
  expect(await sizes(keptEmbeddingsKey(key))).toEqual([null, 10]);
  expect([...owed.noted].filter((one) => one.includes('checkpoint') || one.includes('embeddings'))).toEqual([]);
});
