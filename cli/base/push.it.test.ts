import { type ChildProcess, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { storeBase } from '../../activities/sharding/base-parts.ts';
import { beginPush, pushedBase, pushedObjects, withdrawBase } from '../../activities/sharding/base-registry.ts';
import { baseScope, beginSweeps, endSweeps } from '../../activities/store-care/leases.ts';
import { type StoreCareDependencies, createStoreCareActivities } from '../../activities/store-care/store-care-activities.ts';
import { baseModelOf } from '../../activities/training/base-model.ts';
import { type BringBase, bringPushedBase } from '../../activities/training/bring-base.ts';
import type { Pool } from '../../platform/mysql.ts';
import { projectDir } from '../../platform/paths.ts';
import { readEncoder } from '../../store/encoder-folder.ts';
import { baseFileKey, basePrefix } from '../../store/keys.ts';
import { CorruptObject, type ObjectStore } from '../../store/object-store.ts';
import type { TestStack } from '../../test/support/engines.ts';
import { startStoreCare } from '../../test/support/store-care-scene.ts';
import { storedKeys } from '../../test/support/stored-runs.ts';
import { writeTinyEncoder } from '../../test/support/tiny-encoders.ts';

const shipped = 'all-MiniLM-L6-v2';
let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let care: StoreCareDependencies;
let stop: () => Promise<void>;
let home: string;
let env: Record<string, string>;

beforeAll(async () => {
  ({ stack, pool, store, dependencies: care, stop } = await startStoreCare(2));
  home = await mkdtemp(join(tmpdir(), 'mw-push-'));
  env = { ...stack.env, MW_MODELS_DIR: join(home, 'installed') };
});
afterAll(async () => {
  await stop();
  await rm(home, { recursive: true, force: true });
});

const start = (args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [join(projectDir, 'cli/main.ts'), 'base', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
async function mw(
  ...args: readonly string[]
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = start(args);
  const said = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk: Buffer) => (said.stdout += chunk.toString('utf8')));
  child.stderr?.on('data', (chunk: Buffer) => (said.stderr += chunk.toString('utf8')));
  return { status: await new Promise((resolve) => child.once('close', resolve)), ...said };
}
type Pushed = {
  readonly name: string;
  readonly digest: string;
  readonly bytes: number;
  readonly sentBytes: number;
  readonly shards: number;
};
async function push(...args: readonly string[]): Promise<Pushed> {
  const { status, stdout, stderr } = await mw('push', ...args, '--json');
  expect([status, stderr.replaceAll(/^(?! *mw:).*\n/gm, '')]).toEqual([0, '']);
  return JSON.parse(stdout) as Pushed;
}
const bringTo = (modelsDir: string): BringBase => bringPushedBase({ pool, store, modelsDir, beat: () => undefined });
const sweepBase = (roundId: string) => createStoreCareActivities(care).sweepBase({ roundId, dryRun: false });
const rightOf = async (folder: string): Promise<string> => (await readEncoder(folder)).digest;

describe('a push', () => {
  it('that was killed goes on with what is missing, and the second one sends nothing', async () => {
    const folder = join(stack.config.paths.modelsDir, shipped);
    const child = start(['push', folder]);
    const ended = new Promise((resolve) => child.once('close', resolve));
    while ((await storedKeys(store, 'base/files/')).length === 0 && child.exitCode === null) await sleep(20);
    child.kill('SIGKILL');
    await ended;
    expect(await pushedBase(pool, shipped)).toBeNull();
    expect((await pushedObjects(pool)).underWay).toEqual([shipped]);
    const before = await storedKeys(store, basePrefix);
    const pushed = await push(folder);
    expect(pushed).toMatchObject({ name: shipped, digest: await rightOf(folder) });
    expect(pushed.sentBytes).toBeLessThan(pushed.bytes);
    expect(await storedKeys(store, basePrefix)).toEqual(expect.arrayContaining(before));
    expect((await push(folder)).sentBytes).toBe(0);
    // Its shards are those that a first training would have stored.
    const parts = await storeBase(store, await readEncoder(folder), () => undefined, { shardBytes: stack.config.settings.MW_SHARD_BYTES });
    expect(parts.created).toBe(0);
    expect(parts.shards.length).toBe(pushed.shards);
  });

  it('of a folder from elsewhere adds it first; a later one goes on from there', async () => {
    const folder = await writeTinyEncoder(home, 'elsewhere', ['xx']);
    await rm(join(folder, 'modelwright.json'));
    const unnamed = await mw('push', folder, '--name', 'tiny');
    expect([unnamed.status, unnamed.stderr]).toEqual([1, expect.stringContaining('name the languages that it was trained on')]);
    const pushed = await push(folder, '--name', 'tiny', '--languages', 'en', '--license', 'MIT');
    expect(pushed).toMatchObject({ name: 'tiny', digest: await rightOf(join(home, 'installed', 'tiny')) });
    expect(await push(folder, '--name', 'tiny', '--languages', 'en')).toMatchObject({ sentBytes: 0 });
    await writeFile(join(folder, 'tokenizer.json'), '{}');
    const other = await mw('push', folder, '--name', 'tiny');
    expect([other.status, other.stderr]).toEqual([1, expect.stringContaining('with another tokenizer.json than')]);
  });

  it('of what is hostile or broken names the file, and sends nothing', async () => {
    const before = await storedKeys(store, basePrefix);
    const refused = async (spoil: (folder: string) => Promise<unknown>): Promise<string> => {
      const folder = await writeTinyEncoder(home, 'spoilt', ['en']);
      await spoil(folder);
      const { status, stderr } = await mw('push', folder, '--languages', 'en');
      expect(status).toBe(1);
      await rm(folder, { recursive: true });
      return stderr;
    };
    const pickle = Buffer.from('80028a0a6cfc9c46f9206aa85019', 'hex');
    const weights = (folder: string): string => join(folder, 'model.safetensors');
    const anew = async (folder: string, bytes: Buffer): Promise<void> => {
      await rm(join(folder, 'modelwright.json'));
      await writeFile(weights(folder), bytes);
    };
    expect(await refused((folder) => anew(folder, pickle))).toMatch(/model\.safetensors cannot be read \(.*begins like a Python pickle/);
    const bomb = Buffer.concat([Buffer.from('ffffffffffffff7f', 'hex'), Buffer.alloc(64)]);
    expect(await refused((folder) => anew(folder, bomb))).toMatch(/model\.safetensors cannot be read \(header of \d+ bytes/);
    const renamed = async (folder: string): Promise<void> => {
      await rm(join(folder, 'modelwright.json'));
      await rm(weights(folder));
      await writeFile(join(folder, 'pytorch_model.bin'), pickle);
    };
    expect(await refused(renamed)).toMatch(/pytorch_model\.bin/);
    expect(await refused((folder) => writeFile(join(folder, 'encoder.onnx'), 'another graph'))).toMatch(
      /encoder\.onnx is not the file that modelwright\.json names by its digest/,
    );
    const outside = async (folder: string): Promise<void> => {
      const about = join(folder, 'modelwright.json');
      const info = JSON.parse(await readFile(about, 'utf8')) as { sha256: Record<string, string> };
      info.sha256['../spoilt/config.json'] = info.sha256['config.json'] ?? '';
      await writeFile(about, JSON.stringify(info));
    };
    expect(await refused(outside)).toMatch(/modelwright\.json names a file outside the folder \(\.\.\/spoilt\/config\.json\)/);
    expect(await storedKeys(store, basePrefix)).toEqual(before);
  });

  it('does not take the place of another base model of its name', async () => {
    const folder = await writeTinyEncoder(join(home, 'other'), 'tiny', ['de']);
    const { status, stderr } = await mw('push', folder);
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining('the store has another base model that is called tiny: choose another --name'),
    ]);
    const named = await mw('push', folder, '--name', 'small');
    expect([named.status, named.stderr]).toEqual([1, expect.stringContaining('is called tiny in its modelwright.json')]);
  });
});

describe('a worker without the folder', () => {
  it('has the base model in its own folder when it first needs it, also several at once', async () => {
    const modelsDir = join(home, 'worker');
    const chosen = { name: 'tiny', digest: (await pushedBase(pool, 'tiny'))?.digest ?? '', languages: { en: 1 }, why: '' };
    const wanted = { baseModel: chosen } as unknown as Parameters<typeof baseModelOf>[2];
    const files = (await pushedBase(pool, 'tiny'))?.files.map(({ path }) => path).sort();
    for (let round = 1; round <= 10; round += 1) {
      await rm(modelsDir, { recursive: true, force: true });
      const found = await Promise.all(Array.from({ length: 4 }, () => baseModelOf(modelsDir, {}, wanted, 'encoder', bringTo(modelsDir))));
      expect(new Set(found.map(({ digest }) => digest))).toEqual(new Set([chosen.digest]));
      expect(await readdir(modelsDir)).toEqual(['tiny']);
      expect((await readdir(join(modelsDir, 'tiny'))).sort()).toEqual(files);
    }
    await expect(baseModelOf(modelsDir, { baseModel: 'never' }, {}, 'encoder', bringTo(modelsDir))).rejects.toThrow(
      'the encoder never is not installed on this worker',
    );
  });

  it('takes nothing that is damaged in the store, and goes on when it was mended', async () => {
    const modelsDir = join(home, 'damaged');
    const file = (await pushedBase(pool, 'tiny'))?.files.find(({ path }) => path === 'model.safetensors') ?? { sha256: '', bytes: 0 };
    const key = baseFileKey(file.sha256);
    const right = await store.read({ key, sha256: file.sha256 });
    await store.replace(key, Buffer.alloc(file.bytes));
    await expect(bringTo(modelsDir)('tiny')).rejects.toThrow(CorruptObject);
    expect((await readdir(modelsDir)).every((name) => name.endsWith('.building'))).toBe(true);
    await store.replace(key, right);
    await bringTo(modelsDir)('tiny');
    expect(await rightOf(join(modelsDir, 'tiny'))).toBe((await pushedBase(pool, 'tiny'))?.digest);
  });

  it('says where it cannot be put', async () => {
    const modelsDir = join(home, 'a-file');
    await cp(join(home, 'installed', 'tiny', 'config.json'), modelsDir);
    await expect(bringTo(modelsDir)('tiny')).rejects.toMatchObject({
      type: 'BadOptions',
      message: expect.stringContaining('give it room and permission there') as string,
    });
  });
});

describe('a garbage collection', () => {
  const keysOf = async (name: string): Promise<string[]> =>
    (await pushedBase(pool, name))?.files.map(({ sha256 }) => baseFileKey(sha256)) ?? [];

  it('leaves what was pushed until it is withdrawn', async () => {
    const manifestOf = async (folder: string): Promise<string> =>
      (await storeBase(store, await readEncoder(folder), () => undefined, { shardBytes: stack.config.settings.MW_SHARD_BYTES })).manifest
        .key;
    const manifest = await manifestOf(join(home, 'installed', 'tiny'));
    expect((await pushedObjects(pool)).keys).toContain(manifest);
    const keys = [...(await keysOf('tiny')), manifest];
    const swept = await sweepBase('pushed');
    expect(swept.deferred).toEqual([]);
    for (const key of keys) expect(await store.size(key)).not.toBeNull();
    expect((await mw('withdraw', 'tiny')).stdout).toContain('tiny is withdrawn');
    expect((await mw('withdraw', 'tiny')).stderr).toContain('no base model tiny was pushed');
    await sweepBase('withdrawn');
    for (const key of keys) expect(await store.size(key)).toBeNull();
    expect((await keysOf(shipped)).length).toBeGreaterThan(3);
    for (const key of await keysOf(shipped)) expect(await store.size(key)).not.toBeNull();
  });

  it('removes nothing while one is pushed, and a push waits for one that removes', async () => {
    await beginPush(pool, { name: 'coming', digest: 'c'.repeat(64) });
    expect((await sweepBase('while')).deferred).toEqual(['base: coming is being pushed: nothing is removed']);
    await withdrawBase(pool, 'coming');
    await beginSweeps(pool, 'sweeping', [baseScope]);
    let began = false;
    const beginning = beginPush(pool, { name: 'later', digest: 'd'.repeat(64) }).then(() => (began = true));
    await sleep(1_500);
    expect(began).toBe(false);
    expect((await pushedObjects(pool)).underWay).toEqual(['later']);
    await endSweeps(pool, 'sweeping', [baseScope]);
    await beginning;
    await withdrawBase(pool, 'later');
  });
});
