import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { promoteModel } from '../../activities/registry/promotions.ts';
import type { ModelManifest } from '../../core/model.ts';
import { signerOf } from '../../platform/config.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { type Pool, createPool } from '../../platform/mysql.ts';
import { projectDir } from '../../platform/paths.ts';
import { createS3Client } from '../../platform/s3.ts';
import { parseSigner } from '../../platform/signing-keys.ts';
import { signManifest } from '../../store/model-signature.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { DownloadProxy } from '../../test/support/download-proxy.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { type Sign, drawnNumbers, headPublisher } from '../../test/support/published-heads.ts';
import { type ApiClient, createApiClient } from '../api-client.ts';
import type { ManifestDiff } from './diff-manifests.ts';
import type { VerifiedVersion } from './verify-version.ts';

const mebi = 1024 * 1024;
const labels = ['card', 'money', 'refund'];
let stack: TestStack;
let pool: Pool;
let client: S3Client;
let store: ObjectStore;
let proxy: DownloadProxy;
let api: ApiClient;
let folder: string;
let publish: (version: number, sign?: Sign, form?: 2 | 3) => Promise<void>;

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3'], services: ['api'] });
  pool = createPool(stack.config, { connectionLimit: 2 });
  const { config } = stack;
  client = createS3Client(config);
  store = createS3ObjectStore(client, config.s3.bucket);
  const url = `http://127.0.0.1:${config.settings.MW_API_PORT}`;
  const { key } = await createApiClient(url, config.operatorKey).call<{ key: string }>('POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  api = createApiClient(url, key);
  await api.call('POST', '/v1/customizations', { id: 'intents', name: 'Intents', businessModel: 'text-classification' });
  const heads = await headPublisher(stack, pool, store);
  const { dim } = heads;
  publish = async (version, sign, form) => {
    const weights = drawnNumbers(version, labels.length * dim);
    const dataset = { number: version, run_number: version, digest: sha256Hex(String(version)), cut: '', row_count: 1_100 };
    await pool.query('INSERT INTO modelwright_control.datasets SET ?', {
      tenant_id: 'acme',
      customization_id: 'intents',
      ...dataset,
      manifest_key: 'none',
      manifest_sha256: '',
      manifest_bytes: 0,
    });
    const head = { labels, weights, biases: new Float32Array(labels.length) };
    await heads.publish({ tenantId: 'acme', customizationId: 'intents', version }, head, sign, form);
  };
  await publish(1);
  await publish(2);
  const asked = { tenantId: 'acme', customizationId: 'intents', requestKey: 'promote', version: 1, actor: 'test', reason: null };
  await promoteModel(pool, { ...asked, force: false, fence: null });
  proxy = await DownloadProxy.before(config.settings.MW_API_PORT, config.settings.MW_S3_PORT);
  folder = join(stack.home, 'pulled');
  Object.assign(environment, { ...stack.env, MW_URL: proxy.url, MW_KEY: key });
});
afterAll(async () => {
  await proxy.stop();
  client.destroy();
  await pool.end();
  await stack.remove();
});
afterEach(() => {
  proxy.holdAfter = proxy.breakAfter = Infinity;
});

const environment: Record<string, string> = {};
const start = (args: readonly string[]) =>
  spawn(process.execPath, [join(projectDir, 'cli/main.ts'), ...args], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
async function mw(
  ...args: readonly string[]
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = start(args);
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString('utf8')));
  return { status: await new Promise((resolve) => child.once('close', resolve)), ...said };
}
const manifestOf = (version: number): Promise<ModelManifest> =>
  api.call<ModelManifest>('GET', `/v1/customizations/intents/models/${version}/manifest`);
const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === bytes.byteLength - 1 ? byte ^ 1 : byte));
const replace = (key: string, bytes: Uint8Array): Promise<unknown> =>
  client.send(new PutObjectCommand({ Bucket: store.bucket, Key: key, Body: bytes }));

describe('a pull', () => {
  it('that was killed in the middle goes on there, over broken connections and expired addresses, and is right', async () => {
    proxy.holdAfter = 40 * mebi;
    const child = start(['pull', 'intents@production', folder]);
    const ended = new Promise((resolve) => child.once('close', resolve));
    while (proxy.passed < proxy.holdAfter - mebi && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGKILL');
    await ended;
    expect(await readdir(folder)).toEqual(['.pull']);
    const left = await readdir(join(folder, '.pull'));
    expect(left.some((name) => name.startsWith('lock.'))).toBe(true);
    const sizes = await Promise.all(left.map(async (name) => (await stat(join(folder, '.pull', name))).size));
    const before = sizes.reduce((sum, size) => sum + size, 0);
    expect(before).toBeGreaterThan(20 * mebi);

    proxy.holdAfter = Infinity;
    proxy.breakAfter = 8 * mebi;
    // Addresses of one second, given out when it is over.
    proxy.spoilAddress = async (url) => {
      const { pathname } = new URL(url);
      if (pathname.endsWith('manifest.json')) return url;
      const short = await store.presignGet(decodeURIComponent(pathname.slice(store.bucket.length + 2)), 1);
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      return short;
    };
    const { status, stdout, stderr } = await mw('pull', 'intents@production', folder, '--json');
    expect([status, stderr.replaceAll(/^( {2}pulling|trusting) .*\n/gm, '')]).toEqual([0, '']);
    const result = JSON.parse(stdout) as { version: number; bytes: number; fetchedBytes: number };
    expect(result.version).toBe(1);
    expect(result.bytes).toBeGreaterThan(100 * mebi);
    // Of what was on its way when a connection broke, some came twice.
    expect(result.fetchedBytes).toBeGreaterThanOrEqual(result.bytes - before);
    expect(result.fetchedBytes).toBeLessThan(result.bytes - before / 2);
    proxy.breakAfter = Infinity;
    expect((await mw('models', 'verify', 'intents', folder)).stdout).toMatch(
      /^ok: v1 of intents in .*: every SHA-256 is right, signed with the key [0-9a-f]{16}\n$/m,
    );
    const { manifest } = await api.call<{ manifest: { sha256: string } }>('GET', '/v1/customizations/intents/models/1/files');
    expect(sha256Hex(await readFile(join(folder, 'manifest.json')))).toBe(manifest.sha256);
  });

  it('of the next version into the same folder fetches only what differs', async () => {
    const { status, stdout } = await mw('pull', 'intents@v2', folder, '--json');
    expect(status).toBe(0);
    const diff = JSON.parse((await mw('models', 'diff', 'intents', 'production', 'v2', '--json')).stdout) as ManifestDiff;
    expect(JSON.parse(stdout)).toMatchObject({ version: 2, fetchedBytes: diff.bytes.fetched });
    expect(diff.bytes.fetched).toBeLessThan(mebi);
    expect(diff.bytes.shared).toBeGreaterThan(100 * mebi);
    expect(diff.tensors.changed.map(({ name }) => name)).toContain('classifier.weight');
    expect(diff.tensors).toMatchObject({ added: [], removed: [] });
    expect((await mw('models', 'verify', 'intents@v2', folder)).status).toBe(0);
    const other = await mw('models', 'verify', 'intents@v1', folder);
    expect([other.status, other.stdout]).toEqual([
      1,
      expect.stringContaining('damaged    manifest.json is not the manifest of this version'),
    ]);
  });

  it('says what is wrong in the folder when it is looked at, and mends it when it is called again', async () => {
    const { shards } = await manifestOf(2);
    const name = `model-00001-of-0000${shards.length}.safetensors`;
    const file = await open(join(folder, name), 'r+');
    const { size } = await file.stat();
    await file.write(Buffer.from([0x55, 0xaa, 0x55, 0xaa]), 0, 4, size - 4);
    await file.close();
    const { status, stdout } = await mw('models', 'verify', 'intents@v2', folder, '--json');
    expect(status).toBe(1);
    const { faults } = JSON.parse(stdout) as VerifiedVersion;
    expect(faults).toMatchObject([{ path: name, what: 'damaged' }]);
    expect(faults[0]?.tensors.length).toBeGreaterThan(0);
    expect(JSON.parse((await mw('pull', 'intents@v2', folder, '--json')).stdout)).toMatchObject({ fetchedBytes: size });
    expect((await mw('models', 'verify', 'intents@v2', folder)).status).toBe(0);
  });
});

describe('a version in the store', () => {
  it('is whole, or it is said which part is damaged or missing and which tensors are lost; what is damaged is not pulled', async () => {
    expect((await mw('models', 'verify', 'intents@v2')).status).toBe(0);
    const { shards, files, tensors } = await manifestOf(2);
    const own = shards.find(({ scope }) => scope === 'tenant') ?? { key: '', sha256: '' };
    const answering = files.find(({ path }) => path === 'answering.json') ?? { key: '', sha256: '' };
    const [shard, file] = [await store.read(own), await store.read(answering)];
    await replace(own.key, flip(shard));
    await store.delete([answering.key]);
    const { status, stdout } = await mw('models', 'verify', 'intents@v2', '--json');
    expect(status).toBe(1);
    const { faults } = JSON.parse(stdout) as VerifiedVersion;
    expect(faults).toMatchObject([
      { path: 'answering.json', what: 'missing' },
      { path: own.key, what: 'damaged' },
    ]);
    const lost = faults[1]?.tensors ?? [];
    expect(lost.length).toBeGreaterThan(0);
    expect(lost.every((name) => tensors[name]?.shard === own.sha256)).toBe(true);
    const empty = join(stack.home, 'empty');
    await replace(answering.key, file);
    const pulled = await mw('pull', 'intents@v2', empty);
    expect(pulled.status).toBe(1);
    expect(pulled.stderr).toMatch(/^mw: model-0000\d-of-0000\d\.safetensors is damaged in the store/m);
    expect(await readdir(empty)).toEqual(['.pull']);
    await replace(own.key, shard);
    expect((await mw('models', 'verify', 'intents@v2')).status).toBe(0);
  });

  it('is exported as an OCI layout that holds, by its own documents, the files of a pulled folder', async () => {
    const layout = join(stack.home, 'layout');
    expect((await mw('models', 'export', 'intents@v2', layout)).status).toBe(0);
    const blob = async ({ digest, size }: { digest: string; size: number }): Promise<Buffer> => {
      const bytes = await readFile(join(layout, 'blobs', ...digest.split(':')));
      expect([`sha256:${sha256Hex(bytes)}`, bytes.byteLength]).toEqual([digest, size]);
      return bytes;
    };
    type Described = { readonly digest: string; readonly size: number; readonly annotations: Readonly<Record<string, string>> };
    expect(JSON.parse(await readFile(join(layout, 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' });
    const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: [Described] };
    expect(index.manifests[0].annotations).toEqual({ 'org.opencontainers.image.ref.name': 'v2' });
    const artifact = JSON.parse((await blob(index.manifests[0])).toString()) as { config: Described; layers: Described[] };
    expect(JSON.parse((await blob(artifact.config)).toString())).toMatchObject({ descriptor: { name: 'intents', version: 'v2' } });
    const named = artifact.layers.map(({ annotations }) => annotations['org.cncf.model.filepath'] ?? '');
    expect(named.toSorted()).toEqual((await readdir(folder)).toSorted());
    for (const [i, layer] of artifact.layers.entries())
      expect((await blob(layer)).equals(await readFile(join(folder, named[i] ?? '')))).toBe(true);
    const again = await mw('models', 'export', 'intents@v1', layout);
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining('is the layout of something else')]);
  });

  it('that nobody trusted has signed is not handed out by any command', async () => {
    const stranger = parseSigner(Buffer.alloc(32, 9).toString('base64'));
    const signs: readonly Sign[] = [
      (manifest) => signManifest(manifest, stranger),
      (manifest) => ({ ...signManifest(manifest, signerOf(stack.config)), labels: ['forged'] }),
      (manifest) => manifest,
      (manifest) => ({ ...manifest, format: 'modelwright-model/1' }),
    ];
    for (const [i, sign] of signs.entries()) await publish(3 + i, sign, i === 3 ? 2 : 3);
    const whys = [
      `it is signed with the key ${stranger.keyId}, which is not trusted here`,
      'was changed after it was signed',
      'its manifest has no signature',
      'it is from before versions were signed',
    ];
    for (const [i, why] of whys.entries()) {
      const target = join(stack.home, `untrusted-${i}`);
      for (const words of [['pull'], ['models', 'export']]) {
        const { status, stderr } = await mw(...words, `intents@v${3 + i}`, target);
        expect([status, stderr]).toEqual([1, expect.stringContaining(`mw: v${3 + i} of intents is not trusted: `)]);
        expect(stderr).toContain(why);
        expect(existsSync(target)).toBe(false);
      }
      const verified = await mw('models', 'verify', `intents@v${3 + i}`, '--json');
      expect(verified.status).toBe(1);
      expect(JSON.parse(verified.stdout)).toMatchObject({
        signedBy: null,
        faults: [{ path: 'manifest.json', what: 'untrusted', detail: expect.stringContaining(why) as string }],
      });
    }
    const given = ['--trusted-key', stranger.publicKey];
    expect((await mw('models', 'verify', 'intents@v3', ...given)).stdout).toContain(`signed with the key ${stranger.keyId}`);
    expect((await mw('models', 'verify', 'intents@v2', ...given)).status).toBe(1);
    expect((await mw('models', 'verify', 'intents@v6', '--allow-unsigned')).stdout).toContain('not signed');
  });

  it('of format 2 is read by every command, and takes the place of one of format 3 in a folder', async () => {
    await publish(7, undefined, 2);
    const target = join(stack.home, 'formats');
    const names = async (): Promise<string[]> => (await readdir(target)).toSorted();
    expect((await mw('pull', 'intents@v2', target)).status).toBe(0);
    const before = await names();
    expect(before.filter((name) => name.startsWith('base-'))).toHaveLength(1);
    expect((await mw('pull', 'intents@v7', target)).status).toBe(0);
    expect(await names()).toEqual(before.filter((name) => !name.startsWith('base-')));
    expect((await mw('models', 'verify', 'intents@v7', target)).status).toBe(0);
    expect((await mw('models', 'verify', 'intents@v7')).status).toBe(0);
    const diff = JSON.parse((await mw('models', 'diff', 'intents', 'v2', 'v7', '--json')).stdout) as ManifestDiff;
    expect(diff).toMatchObject({ comparedBy: 'tensor', tensors: { added: [], removed: [] } });
    expect(diff.tensors.changed.map(({ name }) => name)).toEqual(['classifier.weight']);
    expect((await mw('models', 'export', 'intents@v7', join(stack.home, 'layout-7'))).status).toBe(0);
    expect((await mw('pull', 'intents@v2', target)).status).toBe(0);
    expect(await names()).toEqual(before);
  });

  it('whose base model is described by other bytes is found out, in a folder and in the store, and a pull mends the folder', async () => {
    const { base } = await manifestOf(2);
    if (!base) throw new Error('v2 is not of format 3');
    const path = `base-${base.sha256}.json`;
    const file = join(stack.home, 'formats', path);
    const right = await readFile(file);
    await writeFile(file, flip(right));
    const { stdout } = await mw('models', 'verify', 'intents@v2', join(stack.home, 'formats'), '--json');
    expect((JSON.parse(stdout) as VerifiedVersion).faults).toMatchObject([{ path, what: 'damaged' }]);
    await rm(file);
    const pulled = await mw('pull', 'intents@v2', join(stack.home, 'formats'), '--json');
    expect(JSON.parse(pulled.stdout)).toMatchObject({ fetchedBytes: base.bytes });
    expect((await readFile(file)).equals(right)).toBe(true);
    await replace(base.key, flip(right));
    const target = join(stack.home, 'of-a-damaged-base');
    expect((await mw('pull', 'intents@v2', target)).status).toBe(1);
    expect((await mw('models', 'verify', 'intents@v2')).status).toBe(1);
    expect(existsSync(target)).toBe(false);
    await replace(base.key, right);
    expect((await mw('pull', 'intents@v2', target)).status).toBe(0);
  });

  it('is given out by addresses that any client reads, in ranges, until they expire', async () => {
    type Files = { readonly items: readonly { path: string; sha256: string; url: string }[]; readonly expiresAt: string };
    const files = (query: string) => api.call<Files>('GET', `/v1/customizations/intents/models/2/files${query}`);
    const { items, expiresAt } = await files('');
    const inMs = Date.parse(expiresAt) - Date.now();
    expect(inMs).toBeGreaterThan(1_800_000);
    expect(inMs).toBeLessThanOrEqual(3_600_000);
    const { sha256 = '', url = '' } = items.find(({ path }) => path === 'answering.json') ?? {};
    const whole = Buffer.from(await (await fetch(url)).arrayBuffer());
    expect(sha256Hex(whole)).toBe(sha256);
    const range = await fetch(url, { headers: { range: 'bytes=2-5' } });
    expect([range.status, await range.text()]).toEqual([206, whole.subarray(2, 6).toString('utf8')]);
    const short = (await files('?expiresIn=1')).items.find(({ path }) => path === 'answering.json')?.url ?? '';
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect((await fetch(short)).status).toBe(403);
    for (const wrong of ['0', '86401', 'never']) await expect(files(`?expiresIn=${wrong}`)).rejects.toMatchObject({ status: 400 });
  });

  it('that was withdrawn is not given out', async () => {
    await pool.query("UPDATE modelwright_control.model_versions SET withdrawn_at = '2026-01-01' WHERE tenant_id = 'acme' AND version = 2");
    const { status, stderr } = await mw('pull', 'intents@v2', folder);
    expect([status, stderr]).toEqual([1, expect.stringContaining('v2 of intents was withdrawn at 2026-01-01')]);
  });
});
