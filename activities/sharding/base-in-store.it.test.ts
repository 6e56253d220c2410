import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pool } from '../../platform/mysql.ts';
import { createModelStore } from '../../predictor/model-store.ts';
import { parseStoredManifest } from '../../store/model-manifest.ts';
import { type ObjectStore, CorruptObject, ObjectMissing } from '../../store/object-store.ts';
import { collectGarbage, startStoreCare } from '../../test/support/store-care-scene.ts';
import { createPublisher, makeCustomization, makeRun, publishersTrust, stage } from '../../test/support/publish-scene.ts';
import { unreferenced } from '../../test/support/unreferenced.ts';
import { writeTinyEncoder } from '../../test/support/tiny-encoders.ts';
import { readEncoder } from '../../store/encoder-folder.ts';
import { type StoreCareDependencies, createStoreCareActivities } from '../store-care/store-care-activities.ts';
import { sweepMark } from '../store-care/leases.ts';
import { storeBase } from './base-parts.ts';

let pool: Pool;
let store: ObjectStore;
let modelsDir: string;
let care: StoreCareDependencies;
let stop: () => Promise<void>;
let folder: string;
/** Keys of base objects that the store was asked for. */
let asked: string[] = [];
let watched: ObjectStore;
const key = { tenantId: 'acme', customizationId: 'news' };

beforeAll(async () => {
  ({ pool, store, modelsDir, dependencies: care, stop } = await startStoreCare(10));
  folder = await writeTinyEncoder(modelsDir, 'tiny', ['en']);
  const note = (at: string): void => void (at.startsWith('base/') && asked.push(at));
  watched = {
    ...store,
    size: async (at) => (note(at), await store.size(at)),
    putContent: async (at, bytes, sha256) => (note(at), await store.putContent(at, bytes, sha256)),
    putContentStream: async (at, source) => (note(at), await store.putContentStream(at, source)),
    read: async (ref) => (note(ref.key), await store.read(ref)),
  };
  await makeCustomization(pool, key);
});
afterAll(async () => await stop());

let runs = 0;
/** Publishes the next version; says which base objects the store was asked for meanwhile. */
async function publish(through: ObjectStore = watched): Promise<readonly string[]> {
  const run = { ...key, run: ++runs };
  await makeRun(pool, run);
  const { name, digest } = await readEncoder(folder);
  const weights = (await stage(store, { ...run, attempt: 1 })).training.files['model.safetensors'];
  if (!weights) throw new Error('nothing was staged');
  const left = { weights: Buffer.from(await store.read(weights)), baseModel: { name, digest }, labels: ['a', 'b'] };
  const input = await stage(store, { ...run, attempt: 1 }, left);
  asked = [];
  await (await createPublisher(modelsDir))(pool, through).publish(input);
  await pool.query("UPDATE modelwright_control.runs SET state = 'succeeded' WHERE number = ?", [run.run]);
  return asked;
}
async function storedManifest(version: number) {
  const [rows] = await pool.query<never[]>(
    'SELECT manifest_key, manifest_sha256 FROM modelwright_control.model_versions WHERE version = ?',
    [version],
  );
  const { manifest_key, manifest_sha256 } = rows[0] as unknown as { manifest_key: string; manifest_sha256: string };
  return parseStoredManifest(await store.read({ key: manifest_key, sha256: manifest_sha256 }), manifest_key);
}
async function read(version: number) {
  const cache = await mkdtemp(join(tmpdir(), 'mw-base-cache-'));
  try {
    return await createModelStore(pool, store, cache, publishersTrust).manifest(key, version);
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

describe('a base model in the store', () => {
  it('is described once, by a manifest that every version names by its digest', async () => {
    await publish();
    await publish();
    const [one, two] = [await storedManifest(1), await storedManifest(2)];
    expect([one.format, one.base]).toEqual(['modelwright-model/3', two.base]);
    expect(Object.keys(one.tensors).sort()).toEqual(['classifier.bias', 'classifier.weight']);
    // Figures of single labels are the registry's.
    expect([Object.hasOwn(one.metrics, 'perLabel'), Object.hasOwn(one.verdict, 'labels')]).toEqual([false, false]);
    const [rows] = await pool.query<never[]>("SELECT verdict->'$.labels.a' AS label FROM modelwright_control.model_versions");
    expect(rows[0]).toMatchObject({ label: { support: 2 } });
    expect([...one.shards, ...one.files].every(({ scope }) => scope === 'tenant')).toBe(true);
    const whole = await read(2);
    const shared = await storeBase(store, await readEncoder(folder), () => undefined, { shardBytes: care.shardBytes });
    expect(shared.created).toBe(0);
    expect(whole.tensors).toEqual({ ...shared.tensors, ...two.tensors });
    expect(whole.shards).toEqual([...shared.shards, ...two.shards]);
    expect(whole.files.map(({ path }) => path)).toEqual(['labels.json', ...shared.files.map(({ path }) => path)]);
  });

  it('is not asked for again by the next version, until a collection has begun since', async () => {
    await publish();
    expect(await publish()).toEqual([]);
    const mark = await sweepMark(pool);
    await createStoreCareActivities(care).sweepBase({ roundId: 'between', dryRun: false });
    expect(await sweepMark(pool)).not.toBe(mark);
    const again = await publish();
    const { shards, files, base } = await read(runs);
    const shared = [...[...shards, ...files].filter(({ scope }) => scope === 'base'), base].map((part) => part?.key ?? '');
    // Once, not by each of the steps.
    expect([...again].sort()).toEqual(shared.sort());
    expect(await publish()).toEqual([]);
  });

  it('is stored anew by the next version where a collection has removed it', async () => {
    await publish();
    // Nothing refers to it, and no worker has it installed: it goes, as far as the registry can tell.
    const versions = 'UPDATE modelwright_control.model_versions SET removed_at = ';
    await pool.query(`${versions} UTC_TIMESTAMP(6)`);
    await createStoreCareActivities({ ...care, modelsDir: join(modelsDir, 'none') }).sweepBase({ roundId: 'all of it', dryRun: false });
    await pool.query(`${versions} NULL`);
    await expect(read(runs)).rejects.toThrow(ObjectMissing);
    await publish();
    const whole = await read(runs);
    for (const part of [...whole.shards, ...whole.files]) await expect(store.read(part)).resolves.toBeDefined();
    expect((await unreferenced(pool, store)).missing).toEqual([]);
  });

  it('keeps its manifest as long as a version is on it, and loses it with the last', async () => {
    await publish();
    const manifest = (await storedManifest(runs)).base ?? { key: '' };
    const elsewhere = { ...care, modelsDir: join(modelsDir, 'none') };
    await collectGarbage(elsewhere, 'while versions are on it');
    expect(await store.size(manifest.key)).not.toBeNull();
    expect((await unreferenced(pool, store)).missing).toEqual([]);
    await pool.query('DELETE FROM modelwright.customizations WHERE tenant_id = ?', [key.tenantId]);
    await collectGarbage(elsewhere, 'of a deleted customization');
    expect(await store.size(manifest.key)).toBeNull();
    await makeCustomization(pool, key);
  });

  it('that is damaged is refused by readers and mended by the scrub, in whatever share it is', async () => {
    await publish();
    const manifest = (await storedManifest(runs)).base ?? { key: '', sha256: '', bytes: 0 };
    const right = await store.read(manifest);
    await store.replace(manifest.key, Buffer.from(right).fill(0x20, 100, 101));
    await expect(read(runs)).rejects.toThrow(CorruptObject);
    // Nothing is removed while nobody knows what versions have from it.
    expect((await collectGarbage(care, 'while it is damaged')).deferred).not.toEqual([]);
    const index = (Number.parseInt(manifest.sha256.slice(0, 8), 16) + 1) % 7;
    expect(await createStoreCareActivities(care).scrubBase({ share: { index, of: 7 } })).toMatchObject({
      damaged: 1,
      repaired: 1,
      open: [],
    });
    expect(Buffer.from(await store.read(manifest)).equals(right)).toBe(true);
    await store.delete([manifest.key]);
    const elsewhere = createStoreCareActivities({ ...care, modelsDir: join(modelsDir, 'none') });
    expect(await elsewhere.scrubBase({ share: null })).toMatchObject({ missing: 1, repaired: 0 });
    await elsewhere.scrubTenant({ tenantId: key.tenantId, share: null });
    const [rows] = await pool.query<never[]>('SELECT damage FROM modelwright_control.model_versions WHERE version = ?', [runs]);
    expect((rows[0] as unknown as { damage: string }).damage).toContain(manifest.key);
    expect(await createStoreCareActivities(care).scrubBase({ share: null })).toMatchObject({ missing: 1, repaired: 1, open: [] });
    await expect(read(runs)).resolves.toMatchObject({ version: runs });
  });
});
