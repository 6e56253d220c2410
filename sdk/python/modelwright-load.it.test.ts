import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { promoteModel } from '../../activities/registry/promotions.ts';
import { createApiClient } from '../../cli/api-client.ts';
import { runCommand } from '../../infra/local/run-command.ts';
import { type Pool, createPool } from '../../platform/mysql.ts';
import { createS3Client } from '../../platform/s3.ts';
import { parseSigner } from '../../platform/signing-keys.ts';
import { signManifest } from '../../store/model-signature.ts';
import { createS3ObjectStore } from '../../store/s3-object-store.ts';
import { type TestStack, startTestStack } from '../../test/support/engines.ts';
import { drawnNumbers, headPublisher } from '../../test/support/published-heads.ts';

const here = import.meta.dirname;
const key = { tenantId: 'acme', customizationId: 'intents' };
const labels = ['card', 'money', 'refund'];
const stranger = parseSigner(Buffer.alloc(32, 9).toString('base64'));

let stack: TestStack;
let pool: Pool;
let url: string;
let apiKey: string;
let dim: number;
const weightsOf = (version: number): Float32Array => drawnNumbers(version, labels.length * dim);

beforeAll(async () => {
  stack = await startTestStack({ engines: ['mysql', 's3'], services: ['api'] });
  pool = createPool(stack.config, { connectionLimit: 4 });
  const { config } = stack;
  url = `http://127.0.0.1:${config.settings.MW_API_PORT}`;
  const { key: made } = await createApiClient(url, config.operatorKey).call<{ key: string }>('POST', '/v1/tenants', {
    id: key.tenantId,
    name: key.tenantId,
  });
  apiKey = made;
  await createApiClient(url, apiKey).call('POST', '/v1/customizations', {
    id: key.customizationId,
    name: 'Intents',
    businessModel: 'text-classification',
  });
  const publisher = await headPublisher(stack, pool, createS3ObjectStore(createS3Client(config), config.s3.bucket));
  ({ dim } = publisher);
  for (const version of [1, 2, 3]) {
    const head = { labels, weights: weightsOf(version), biases: new Float32Array(labels.length) };
    await publisher.publish({ ...key, version }, head, version === 3 ? (manifest) => signManifest(manifest, stranger) : undefined);
    // Versions are listed with the dataset that they learned.
    await pool.query('INSERT INTO modelwright_control.datasets SET ?', {
      tenant_id: key.tenantId,
      customization_id: key.customizationId,
      number: version,
      run_number: version,
      digest: '0'.repeat(64),
      cut: '',
      manifest_key: `none/${version}`,
      manifest_sha256: '0'.repeat(64),
      manifest_bytes: 0,
      row_count: 0,
    });
  }
  await promoteModel(pool, { ...key, requestKey: 'promote', version: 2, actor: 'test', reason: null, force: false, fence: null });
});
afterAll(async () => {
  await pool?.end();
  await stack?.remove();
});

const python = (...args: readonly string[]): Promise<string> =>
  runCommand(stack.config.paths.trainerPython, args, {
    cwd: here,
    env: { PYTHONPATH: here, PYTHONDONTWRITEBYTECODE: '1', MW_URL: url, MW_KEY: apiKey, MW_HOME: join(stack.home, 'reader') },
  });

const script = `
import hashlib, os, sys
from modelwright_load import LoadError, load
try:
    model = load(os.environ["MW_URL"], os.environ["MW_KEY"], sys.argv[1])
    weights = model.tensors["classifier.weight"]
    print(model.manifest["version"], len(model.tensors), list(weights.shape), hashlib.sha256(weights.numpy().tobytes()).hexdigest())
except LoadError as error:
    print("LoadError:", error)
`;
const loaded = async (reference: string): Promise<string> => (await python('-c', script, reference)).trim();

it('loads what is published, by alias and by number, the shared encoder included', async () => {
  const digest = (version: number): string => createHash('sha256').update(weightsOf(version)).digest('hex');
  const shape = `[${labels.length}, ${dim}]`;
  expect(await loaded('intents')).toMatch(new RegExp(`^2 \\d{3} \\${shape} ${digest(2)}$`));
  expect(await loaded('intents@v1')).toMatch(new RegExp(`^1 \\d{3} \\${shape} ${digest(1)}$`));
});

it('loads nothing of what a key signed that it does not trust', async () => {
  expect(await loaded('intents@v3')).toMatch(
    new RegExp(`^LoadError: v3 of intents is not trusted: it is signed with the key ${stranger.keyId}, which is not trusted here`),
  );
});

it('says what there is not', async () => {
  expect(await loaded('intents@previous')).toBe('LoadError: intents has no version that is previous');
  expect(await loaded('intents@v9')).toContain('was answered with 404');
  expect(await loaded('other')).toContain('was answered with 404');
});

it('passes its own tests', async () => {
  expect(await python('-m', 'pytest', '-q', '-p', 'no:cacheprovider', here)).toContain(' passed');
});
