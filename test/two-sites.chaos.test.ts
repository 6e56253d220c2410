import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { promoteModel } from '../activities/registry/promotions.ts';
import { settleSites } from '../activities/store-care/settle-sites.ts';
import { createApiClient } from '../cli/api-client.ts';
import type { Predictions } from '../cli/api-types.ts';
import { type Pool, type RowDataPacket, createPool } from '../platform/mysql.ts';
import { projectDir } from '../platform/paths.ts';
import { createS3Client } from '../platform/s3.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { createOwedObjects } from '../store/owed-objects.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { drawnNumbers, headPublisher, tenantForHeads } from './support/published-heads.ts';
import { createPublisher, makeCustomization, makeRun, stage } from './support/publish-scene.ts';
import { seeded } from './support/seeded.ts';
import { storedKeys } from './support/stored-runs.ts';
import { writeTinyEncoder } from './support/tiny-encoders.ts';
import { twoSiteStore } from './support/two-site-store.ts';
import { VersionReader } from './support/version-reader.ts';

/** Publishes in the middle of which one of the sites dies. */
const deaths = 20;
const c = 'intents';
const tenants = ['acme', 'beta', 'gamma', 'delta'] as const;

let first: TestStack;
let second: TestStack;
let pool: Pool;

beforeAll(async () => {
  second = await startTestStack({ engines: ['s3'] });
  const { s3 } = second.config;
  first = await startTestStack({
    engines: ['mysql', 's3'],
    services: ['api', 'predictor'],
    env: {
      MW_S3_SECOND_ENDPOINT: s3.endpoint,
      MW_S3_SECOND_BUCKET: s3.bucket,
      MW_S3_SECOND_ACCESS_KEY: s3.accessKey,
      MW_S3_SECOND_SECRET_KEY: s3.secretKey,
    },
  });
  pool = createPool(first.config, { connectionLimit: 8 });
});
afterAll(async () => {
  await pool?.end();
  await first?.remove();
  await second?.remove();
});

const opened = () => twoSiteStore([first.config.s3, second.config.s3], createOwedObjects(pool));
/** `kill -9`, and nobody starts it again. */
async function killed(stack: TestStack): Promise<void> {
  stack.kill('s3', 'SIGKILL');
  await stack.pause('s3');
}
/** The store, which does something before its call number `at`. */
function atCall(store: ObjectStore, at: number, act: () => Promise<void>): ObjectStore {
  let calls = 0;
  const before = async (): Promise<void> => {
    if (calls++ === at) await act();
  };
  const methods = ['putContent', 'putContentStream', 'putNew', 'read', 'stream', 'streamPart', 'size'] as const;
  const watched = Object.fromEntries(
    methods.map((name) => [
      name,
      async (...values: never[]) => {
        await before();
        return await (store[name] as (...given: never[]) => Promise<unknown>)(...values);
      },
    ]),
  );
  return { ...store, ...watched };
}

describe('a store on two sites, one of which dies by kill -9', () => {
  it(`publishes all the same, ${deaths} times, and has everything on both when it is back`, async () => {
    const modelsDir = join(first.home, 'tiny');
    await writeTinyEncoder(modelsDir, 'all-MiniLM-L6-v2', ['en']);
    const publisherOf = await createPublisher(modelsDir);
    const key = { tenantId: 'published', customizationId: 'c' };
    await makeCustomization(pool, key);
    const draws = seeded(7);
    let calls = 0;
    let died = 0;
    for (let run = 1; run <= deaths + 1; run++) {
      const victim = run % 2 === 0 ? second : first;
      const { store } = opened();
      await makeRun(pool, { ...key, run });
      const input = await stage(store, { ...key, run, attempt: 1 });
      if (run === 1) {
        // How many calls there are: those of a publish without a death.
        const counting = atCall(store, Number.POSITIVE_INFINITY, () => Promise.resolve());
        const counted = new Proxy(counting, { get: (target, name: keyof ObjectStore) => (calls++, target[name]) });
        await publisherOf(pool, counted).publish(input);
        continue;
      }
      await publisherOf(
        pool,
        atCall(store, draws.below(Math.min(calls, 12)), async () => {
          await killed(victim);
          died++;
        }),
      ).publish(input);
      // While it is away, another process reads the new version whole.
      expect(await new VersionReader(pool, opened().store).check(key)).toEqual({ version: run, run });
      await victim.resume('s3');
      const { store: later, first: one, second: two } = opened();
      await settleSites(pool, later, () => undefined);
      for (const site of [one, two]) expect(await new VersionReader(pool, site).check(key, true)).toEqual({ version: run, run });
    }
    expect(died).toBe(deaths);
    const { first: one, second: two } = opened();
    expect(await storedKeys(one, 'tenants/published/')).toEqual(await storedKeys(two, 'tenants/published/'));
    const [open] = await pool.query<RowDataPacket[]>("SELECT 1 FROM modelwright_control.sensing_conditions WHERE state <> 'healed'");
    expect(open).toEqual([]);
  });

  it('answers every prediction, loads what was not loaded yet, and gives versions out', async () => {
    const { config } = first;
    const url = `http://127.0.0.1:${config.settings.MW_API_PORT}`;
    const operator = createApiClient(url, config.operatorKey);
    const { dim, publish } = await headPublisher(first, pool, opened().store);
    const keys = new Map<string, string>();
    for (const [at, tenant] of tenants.entries()) {
      const key = await tenantForHeads(operator, pool, { tenantId: tenant, customizationId: c });
      keys.set(tenant, key);
      const labels = [`${tenant} a`, `${tenant} b`];
      const weights = drawnNumbers(at + 1, 2 * dim);
      await publish({ tenantId: tenant, customizationId: c, version: 1 }, { labels, weights, biases: new Float32Array(2) });
      const asked = { tenantId: tenant, customizationId: c, requestKey: tenant, version: 1, actor: 'test', reason: null };
      await promoteModel(pool, { ...asked, force: false, fence: null });
    }
    const ask = (tenant: string): Promise<Predictions> =>
      createApiClient(url, keys.get(tenant) ?? '').call<Predictions>('POST', `/v1/customizations/${c}:predict`, {
        inputs: ['Where is my card?'],
        topK: 2,
      });
    const labelOf = (answer: Predictions): string => JSON.stringify(answer.outputs[0]);
    // One is loaded, then the first site dies while it is asked and the others are loaded.
    expect(labelOf(await ask('acme'))).toContain('acme');
    let answered = 0;
    const stopped = new AbortController();
    const asking = (async () => {
      for (; !stopped.signal.aborted; answered++) expect(labelOf(await ask('acme'))).toContain('acme');
    })();
    await killed(first);
    for (const tenant of tenants) expect(labelOf(await ask(tenant))).toContain(tenant);
    const enough = answered + 20;
    await expect.poll(() => answered, { timeout: 60_000 }).toBeGreaterThan(enough);
    stopped.abort();
    await asking;

    const folder = await mkdtemp(join(tmpdir(), 'mw-two-sites-'));
    const load = `import sys; sys.path.insert(0, "sdk/python"); from modelwright_load import load; print(len(load(*sys.argv[1:]).tensors))`;
    const getOut = async (tenant: string): Promise<void> => {
      const env = { ...first.env, MW_URL: url, MW_KEY: keys.get(tenant) ?? '' };
      const mw = async (...args: string[]) => await promisify(execFile)(join(projectDir, 'mw'), args, { env });
      await mw('pull', `${c}@v1`, join(folder, tenant));
      expect((await mw('models', 'verify', `${c}@v1`, join(folder, tenant))).stdout).toMatch(/^ok: /m);
      const python = await promisify(execFile)(config.paths.trainerPython, ['-c', load, url, env.MW_KEY, `${c}@v1`], { cwd: projectDir });
      expect(Number(python.stdout)).toBeGreaterThan(2);
    };
    try {
      await getOut('beta');
      await first.resume('s3');
      // And where the first site answers with wrong bytes.
      const { s3 } = config;
      const [shard] = await storedKeys(opened().first, 'tenants/gamma/shards/');
      await createS3Client({ s3 }).send(new PutObjectCommand({ Bucket: s3.bucket, Key: shard, Body: 'wrong bytes' }));
      await getOut('gamma');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
