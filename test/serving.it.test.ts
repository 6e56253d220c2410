import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { promoteModel } from '../activities/registry/promotions.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { type ApiClient, createApiClient } from '../cli/api-client.ts';
import type { Predictions } from '../cli/api-types.ts';
import { type Pool, createPool } from '../platform/mysql.ts';
import { createPredictorClient } from '../platform/predictor-client.ts';
import { createS3Client } from '../platform/s3.ts';
import { trustOf } from '../platform/config.ts';
import { createModelStore } from '../predictor/model-store.ts';
import { type Predictor, createPredictor } from '../predictor/predictor.ts';
import { createS3ObjectStore } from '../store/s3-object-store.ts';
import { type TestStack, startTestStack } from './support/engines.ts';
import { drawnNumbers, headPublisher } from './support/published-heads.ts';

const c = 'intents';
const tenants = ['acme', 'other'] as const;
const labelCount = 5;
const sentences = Array.from({ length: 40 }, (_, i) => `Where is the ${['card', 'money', 'refund', 'clerk'][i % 4]} of order ${i * 7}?`);

let stack: TestStack;
let pool: Pool;
const clients = new Map<string, ApiClient>();
const keys = new Map<string, string>();
/** Predictors in this process over the same store, in either precision. */
let own: Readonly<Record<'f32' | 'int8', Predictor>>;

const clientOf = (tenant: string): ApiClient => {
  const found = clients.get(tenant);
  if (!found) throw new Error(`no tenant ${tenant}`);
  return found;
};
const labelOf = (tenant: string, version: number, i: number): string => `${tenant} v${version} label ${i}`;
const ask = (tenant: string, inputs: readonly string[]): Promise<Predictions> =>
  clientOf(tenant).call<Predictions>('POST', `/v1/customizations/${c}:predict`, { inputs, topK: labelCount });
const promote = (tenantId: string, version: number): Promise<unknown> =>
  promoteModel(pool, {
    tenantId,
    customizationId: c,
    requestKey: `promote v${version} ${performance.now()}`,
    version,
    actor: 'test',
    reason: null,
    force: false,
    fence: null,
  });

/** The real predictor and API, with 8-bit integers and the shortest queue. */
beforeAll(async () => {
  stack = await startTestStack({
    engines: ['mysql', 's3'],
    services: ['api', 'predictor'],
    env: { MW_ENCODER_PRECISION: 'int8', MW_PREDICTOR_QUEUE_TEXTS: '1000' },
  });
  pool = createPool(stack.config, { connectionLimit: 4 });
  const { config } = stack;
  const store = createS3ObjectStore(createS3Client(config), config.s3.bucket);
  const url = `http://127.0.0.1:${config.settings.MW_API_PORT}`;
  const operator = createApiClient(url, config.operatorKey);
  const { dim, publish } = await headPublisher(stack, pool, store);
  for (const [at, tenant] of tenants.entries()) {
    const { key } = await operator.call<{ key: string }>('POST', '/v1/tenants', { id: tenant, name: tenant });
    keys.set(tenant, key);
    clients.set(tenant, createApiClient(url, key));
    await clientOf(tenant).call('POST', '/v1/customizations', { id: c, name: 'Intents', businessModel: 'text-classification' });
    for (const version of [1, 2]) {
      const labels = Array.from({ length: labelCount }, (_, i) => labelOf(tenant, version, i));
      const weights = drawnNumbers(10 * at + version, labelCount * dim).map((weight) => 8 * weight);
      await publish({ tenantId: tenant, customizationId: c, version }, { labels, weights, biases: new Float32Array(labelCount) });
    }
    await promote(tenant, 1);
  }
  const catalog = await loadCatalog();
  const open = (precision: 'f32' | 'int8'): Predictor =>
    createPredictor({
      store: createModelStore(pool, store, join(stack.home, `cache-${precision}`), trustOf(stack.config)),
      catalog,
      cacheBytes: 1_000_000_000,
      threads: availableParallelism(),
      precision,
      maxWaiting: 4_000,
    });
  own = { f32: open('f32'), int8: open('int8') };
});
afterAll(async () => {
  await pool.end();
  await stack.remove();
});

/** What a version answers to each sentence when that is asked for alone, in this process. */
async function alone(by: Predictor, tenantId: string, version: number, texts: readonly string[]): Promise<readonly object[]> {
  const outputs: object[] = [];
  for (const text of texts)
    outputs.push(...(await by.predict({ tenantId, customizationId: c, version, inputs: [{ text }], topK: labelCount })).outputs);
  return outputs;
}
/** Scores by label: the order of those that are nearly equal may differ with the size of a pass. */
const scoresOf = (output: unknown): Record<string, number> =>
  Object.fromEntries((output as { labels: { label: string; score: number }[] }).labels.map(({ label, score }) => [label, score]));
const furthest = (a: unknown, b: unknown): number => {
  const [left, right] = [scoresOf(a), scoresOf(b)];
  expect(Object.keys(left).sort()).toEqual(Object.keys(right).sort());
  return Math.max(...Object.entries(left).map(([label, score]) => Math.abs(score - (right[label] ?? Infinity))));
};

describe('a predictor with MW_ENCODER_PRECISION=int8', () => {
  it('computes in it: answers are those of int8, whatever else is in the pass, and not those of f32', async () => {
    const [int8, f32] = [await alone(own.int8, 'acme', 1, sentences), await alone(own.f32, 'acme', 1, sentences)];
    const together = await ask('acme', sentences);
    const fromInt8 = together.outputs.map((output, i) => furthest(output, int8[i]));
    const fromF32 = together.outputs.map((output, i) => furthest(output, f32[i]));
    expect(Math.max(...fromInt8)).toBeLessThan(1e-4);
    expect(Math.max(...fromF32)).toBeGreaterThan(1e-3);
    // Near enough to be the same model.
    expect(fromF32.reduce((sum, distance) => sum + distance, 0) / fromF32.length).toBeLessThan(0.1);
  });
});

describe('the time of an encoder that is not published yet', () => {
  it('is that of the version in production where it is the same graph, and stands alone where nothing serves', async () => {
    const store = createModelStore(
      pool,
      createS3ObjectStore(createS3Client(stack.config), stack.config.s3.bucket),
      join(stack.home, 'cache-f32'),
      trustOf(stack.config),
    );
    const { files } = await store.manifest({ tenantId: 'acme', customizationId: c }, 1);
    const graph = files.find(({ role }) => role === 'encoder-onnx') ?? { key: '', sha256: '' };
    const predictor = createPredictorClient(stack.config);
    const of = (version: number | null) => predictor.latency({ tenantId: 'acme', customizationId: c, version, graph });
    const same = await of(1);
    expect(same.candidateMs).toBeGreaterThan(0);
    expect(same).toEqual({ tokens: 32, candidateMs: same.candidateMs, currentMs: same.candidateMs });
    expect(await of(null)).toMatchObject({ tokens: 32, currentMs: null });
    await expect(of(9)).rejects.toMatchObject({ name: 'VersionNotServable' });
  });
});

describe('a promotion under load', () => {
  it("loses no request, and every answer is one version's own, with its label and its score", { timeout: 180_000 }, async () => {
    const expected = new Map<string, readonly object[]>();
    for (const tenant of tenants)
      for (const version of [1, 2]) expected.set(`${tenant} ${version}`, await alone(own.int8, tenant, version, sentences));
    const given: { readonly tenant: string; readonly answer: Predictions; readonly text: number; readonly allowed: number[] }[] = [];
    const stopped = new AbortController();
    const serving: Record<string, number> = { acme: 1, other: 1 };
    const coming: Record<string, number> = { ...serving };
    const asking = Array.from({ length: 8 }, async (_, client) => {
      for (let i = 0; !stopped.signal.aborted; i++) {
        const tenant = tenants[client % 2] ?? 'acme';
        const text = (client * 11 + i) % sentences.length;
        const before = serving[tenant] ?? 0;
        const answer = await ask(tenant, [sentences[text] ?? '']);
        given.push({ tenant, answer, text, allowed: [before, coming[tenant] ?? 0] });
      }
    });
    const answered = async (more: number): Promise<void> => {
      const enough = given.length + more;
      while (given.length < enough) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    await answered(40);
    for (let swap = 0; swap < 6; swap++) {
      const next = swap % 2 === 0 ? 2 : 1;
      coming['acme'] = next;
      await promote('acme', next);
      serving['acme'] = next;
      await answered(40);
    }
    stopped.abort();
    // A request that failed would fail here.
    await Promise.all(asking);
    for (const { tenant, answer, text } of given) {
      const [output] = answer.outputs;
      expect(furthest(output, expected.get(`${tenant} ${answer.version}`)?.[text])).toBeLessThan(1e-4);
      expect(JSON.stringify(output?.label)).toContain(`${tenant} v${answer.version} `);
    }
    const versionsOf = (tenant: string): number[] => given.filter((one) => one.tenant === tenant).map(({ answer }) => answer.version);
    expect(new Set(versionsOf('acme'))).toEqual(new Set([1, 2]));
    expect(new Set(versionsOf('other'))).toEqual(new Set([1]));
    // What a request hears is what served when it asked, or what came while it waited.
    expect(given.filter(({ answer, allowed }) => !allowed.includes(answer.version))).toEqual([]);
  });
});

describe('a flood of one tenant', () => {
  it(
    'is refused beyond the queue, with a time to come back, while single requests of another are all answered',
    { timeout: 180_000 },
    async () => {
      const predictor = createPredictorClient(stack.config);
      const texts = Array.from({ length: 500 }, (_, i) => ({ text: `${sentences[i % 4]} again and again and again ${i}` }));
      const flooding = new AbortController();
      const flood = Array.from({ length: 8 }, () =>
        predictor.predict({ tenantId: 'acme', customizationId: c, version: 1, inputs: texts }).then(
          () => 'answered',
          (error: unknown) => {
            expect(error).toMatchObject({ name: 'PredictorOverloaded', message: expect.stringContaining('texts wait') as string });
            expect((error as { retryAfterSeconds: number }).retryAfterSeconds).toBeGreaterThanOrEqual(1);
            return 'refused';
          },
        ),
      );
      const outcomes = Promise.all(flood).finally(() => flooding.abort());
      let singles = 0;
      do {
        expect((await ask('other', [sentences[singles % sentences.length] ?? ''])).version).toBe(1);
        singles += 1;
      } while (!flooding.signal.aborted);
      const ended = await outcomes;
      // Those that wait are a thousand texts at most, besides those of the batch that runs.
      expect(ended.filter((outcome) => outcome === 'answered').length).toBeGreaterThanOrEqual(2);
      expect(ended.filter((outcome) => outcome === 'refused').length).toBeGreaterThanOrEqual(4);
      expect(singles).toBeGreaterThan(1);
      // Through the API it is a problem of its own.
      const url = `http://127.0.0.1:${stack.config.settings.MW_API_PORT}/v1/customizations/${c}:predict`;
      const headers = { authorization: `Bearer ${keys.get('acme')}`, 'content-type': 'application/json' };
      const pages = await Promise.all(
        Array.from({ length: 8 }, () => fetch(url, { method: 'POST', headers, body: JSON.stringify({ inputs: texts }) })),
      );
      const refused = pages.filter(({ ok }) => !ok);
      expect(refused.length).toBeGreaterThan(0);
      for (const response of refused) {
        expect(response.status).toBe(503);
        expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
        expect(await response.json()).toMatchObject({ code: 'predictor_overloaded', status: 503 });
      }
    },
  );
});
