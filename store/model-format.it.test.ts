import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { storeTensors } from '../activities/sharding/store-tensors.ts';
import { stagedSource } from '../activities/sharding/tensor-source.ts';
import { type ApiClient, createApiClient } from '../cli/api-client.ts';
import { pullModel } from '../cli/pull/pull-model.ts';
import { Screen } from '../cli/screen.ts';
import { sha256Hex } from '../platform/hash.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { projectDir } from '../platform/paths.ts';
import { createPredictorClient } from '../platform/predictor-client.ts';
import { createS3Client } from '../platform/s3.ts';
import { parseSigner } from '../platform/signing-keys.ts';
import { type TestStack, startTestStack } from '../test/support/engines.ts';
import { drawnNumbers, headPublisher } from '../test/support/published-heads.ts';
import { recordedFolder, recordedKey } from '../test/support/recorded-version.ts';
import { readerTrustOf } from '../test/support/reader-trust.ts';
import { signManifest } from './model-signature.ts';
import { CorruptObject, type ObjectStore, StoreUnavailable } from './object-store.ts';
import { createS3ObjectStore } from './s3-object-store.ts';
import { buildHeader } from './safetensors.ts';

const run = promisify(execFile);
const key = { tenantId: 'acme', customizationId: 'news' };
const labels = ['sport', 'money', 'café'];
const former = parseSigner(Buffer.alloc(32, 1).toString('base64'));
const stranger = parseSigner(Buffer.alloc(32, 2).toString('base64'));

let stack: TestStack;
let pool: Pool;
let store: ObjectStore;
let api: ApiClient;

beforeAll(async () => {
  stack = await startTestStack({
    engines: ['mysql', 's3'],
    services: ['api', 'predictor'],
    env: { MW_TRUSTED_KEYS: former.publicKey, MW_UNSIGNED_MODELS: 'refuse' },
  });
  pool = createPool(stack.config);
  const { config } = stack;
  store = createS3ObjectStore(createS3Client(config), config.s3.bucket);
  const url = `http://127.0.0.1:${config.settings.MW_API_PORT}`;
  const operator = createApiClient(url, config.operatorKey);
  const issued = await operator.call<{ key: string }>('POST', '/v1/tenants', { id: key.tenantId, name: 'Acme' });
  api = createApiClient(url, issued.key);
  await api.call('POST', '/v1/customizations', { id: key.customizationId, name: 'News', businessModel: 'text-classification' });
  // The API shows versions with the dataset that they were trained on.
  await pool.query('INSERT INTO modelwright_control.datasets SET ?', {
    tenant_id: key.tenantId,
    customization_id: key.customizationId,
    number: 1,
    run_number: 1,
    digest: sha256Hex('rows'),
    cut: '',
    manifest_key: 'none',
    manifest_sha256: sha256Hex('none'),
    manifest_bytes: 4,
    row_count: 1_100,
  });
  const { dim, publish } = await headPublisher(stack, pool, store);
  const head = { labels, weights: drawnNumbers(1, labels.length * dim), biases: new Float32Array(labels.length) };
  await publish({ ...key, version: 1 }, head);
  await publish({ ...key, version: 2 }, head, (manifest) => signManifest(manifest, former));
  await publish({ ...key, version: 3 }, head, (manifest) => signManifest(manifest, stranger));
  await publish({ ...key, version: 4 }, head, (manifest) => ({ ...signManifest(manifest, former), labels: ['forged'] }));
  await publish({ ...key, version: 5 }, head, (manifest) => manifest);
  await publish({ ...key, version: 6 }, head, (manifest) => ({ ...manifest, format: 'modelwright-model/1' }), 2);
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

describe('a version', () => {
  const warm = (version: number): Promise<void> => createPredictorClient(stack.config).warm({ ...key, version });

  it('is served where this installation or a trusted key has signed it', async () => {
    await warm(1);
    await warm(2);
    const { items } = await api.call<{ items: { keyId: string; signs: boolean }[] }>('GET', '/v1/signing-keys');
    expect(items.map(({ keyId, signs }) => [keyId, signs])).toEqual([
      [former.keyId, false],
      [stack.config.signing.signer?.keyId, true],
    ]);
  });

  it.each([
    [3, /is signed with the key [0-9a-f]{16}, which is not trusted here/],
    [4, /was changed after it was signed/],
    [5, /its manifest has no signature/],
    [6, /from before versions were signed, and MW_UNSIGNED_MODELS=refuse/],
  ])('is refused otherwise: v%i', async (version, why) => {
    await expect(warm(version)).rejects.toMatchObject({ name: 'VersionNotServable', message: expect.stringMatching(why) as string });
  });
});

describe('a reader in another language', () => {
  const read = async (
    folder: string,
  ): Promise<{ readonly signature: string; readonly tensors: Record<string, { shape: number[]; sum: number }> }> => {
    const { items } = await api.call<{ items: { publicKey: string }[] }>('GET', '/v1/signing-keys');
    const script = join(projectDir, 'test/support/read_model.py');
    const { stdout } = await run(stack.config.paths.trainerPython, [script, folder, ...items.map(({ publicKey }) => publicKey)]);
    return JSON.parse(stdout) as Awaited<ReturnType<typeof read>>;
  };

  it('reads a pulled version by what the documentation says, and refuses what was changed', async () => {
    const folder = join(stack.home, 'pulled');
    const reference = { customization: key.customizationId, version: 1 };
    const { manifest } = await pullModel(api, reference, folder, new Screen(false), readerTrustOf(stack));
    const { tensors, signature } = await read(folder);
    expect(signature).toMatch(/^good$|^not checked: the package cryptography/);
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(manifest.tensors).sort());
    const sum = drawnNumbers(1, labels.length * 384).reduce((total, weight) => total + weight, 0);
    expect(tensors['classifier.weight']?.shape).toEqual([labels.length, 384]);
    expect(tensors['classifier.weight']?.sum).toBeCloseTo(sum, 3);

    const path = join(folder, `model-${'1'.padStart(5, '0')}-of-${String(manifest.shards.length).padStart(5, '0')}.safetensors`);
    const shard = await readFile(path);
    shard[shard.byteLength - 1] = (shard.at(-1) ?? 0) ^ 1;
    await writeFile(path, shard);
    await expect(read(folder)).rejects.toThrow(/does not have the SHA-256 of its shard/);
    await rm(path);
    await pullModel(api, reference, folder, new Screen(false), readerTrustOf(stack));
    const base = join(folder, `base-${manifest.base?.sha256}.json`);
    const right = await readFile(base);
    await writeFile(base, Buffer.from(right).fill(0x20, right.byteLength - 1));
    await expect(read(folder)).rejects.toThrow(/the manifest of the base model does not have its SHA-256/);
    await writeFile(base, right);
    const { signature: _, ...unsigned } = manifest;
    await writeFile(join(folder, 'manifest.json'), JSON.stringify(unsigned));
    await expect(read(folder)).rejects.toThrow(/the manifest has no signature/);
  });
});

describe('the same reader', () => {
  it('reads a version that was recorded in format 2', async () => {
    const script = join(projectDir, 'test/support/read_model.py');
    const { stdout } = await run(stack.config.paths.trainerPython, [script, recordedFolder, recordedKey]);
    const { signature, tensors } = JSON.parse(stdout) as { signature: string; tensors: Record<string, unknown> };
    expect(signature).toMatch(/^good$|^not checked: the package cryptography/);
    expect(Object.keys(tensors)).toHaveLength(7);
  });
});

describe('the store', () => {
  const bytes = Buffer.alloc(3_000_000, 'content ');
  const sha256 = sha256Hex(bytes);

  it('takes a stream under its digest, once, and gives any part of it', async () => {
    const source = {
      bytes: bytes.byteLength,
      sha256,
      open: () => Promise.resolve(Readable.from([bytes.subarray(0, 1_000), bytes.subarray(1_000)])),
    };
    expect((await store.putContentStream('test/stream', source)).created).toBe(true);
    expect((await store.putContentStream('test/stream', source)).created).toBe(false);
    expect(Buffer.from(await store.read({ key: 'test/stream', sha256 })).equals(bytes)).toBe(true);
    const part: Buffer[] = [];
    for await (const chunk of await store.streamPart('test/stream', 1_234, 70_000)) part.push(chunk as Buffer);
    expect(Buffer.concat(part).equals(bytes.subarray(1_234, 71_234))).toBe(true);
    await expect(store.streamPart('test/stream', 2_999_999, 2)).rejects.toThrow(StoreUnavailable);
  });

  it('stores nothing of bytes that do not have their digest, and of a stream that breaks off', async () => {
    const wrong = { bytes: bytes.byteLength, sha256: sha256Hex('other'), open: () => Promise.resolve(Readable.from([bytes])) };
    await expect(store.putContentStream('test/wrong', wrong)).rejects.toThrow(CorruptObject);
    const broken = {
      bytes: bytes.byteLength,
      sha256,
      open: () =>
        Promise.resolve(
          Readable.from(
            (async function* () {
              yield await Promise.resolve(bytes.subarray(0, 99));
              throw new Error('the connection was reset');
            })(),
          ),
        ),
    };
    await expect(store.putContentStream('test/broken', broken)).rejects.toThrow('the connection was reset');
    // The gateway itself compares the digest that it is told.
    await expect(store.putContent('test/told', bytes, sha256Hex('other'))).rejects.toThrow(StoreUnavailable);
    for (const object of ['test/wrong', 'test/broken', 'test/told']) expect(await store.size(object)).toBeNull();
  });

  it('is what shards are made from and put to, without a file between', async () => {
    const sizes = [40, 2_500_000, 700_000, 300_000, 1_000_001];
    const file = Buffer.concat([
      buildHeader(sizes.map((size, i) => ({ name: `t${i}`, dtype: 'U8', shape: [size], bytes: size }))),
      ...sizes.map((size, i) => Buffer.alloc(size, i + 1)),
    ]);
    const { ref } = await store.putNew('test/staged', file);
    const made = await storeTensors(
      store,
      stagedSource(store, ref),
      'tenant',
      (digest) => `test/shards/${digest}`,
      () => undefined,
      {
        shardBytes: 1_048_576,
        sha256: ref.sha256,
      },
    );
    for (const [i, size] of sizes.entries()) {
      const { shard, offset = -1 } = made.tensors[`t${i}`] ?? { shard: '' };
      const content = await store.read({ key: `test/shards/${shard}`, sha256: shard });
      expect(
        Buffer.from(content)
          .subarray(offset, offset + size)
          .equals(Buffer.alloc(size, i + 1)),
      ).toBe(true);
    }
  });
});
