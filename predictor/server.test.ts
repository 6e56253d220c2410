import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PredictorOverloaded, createPredictorClient } from '../platform/predictor-client.ts';
import { Overloaded } from './overloaded.ts';
import { predictorServer } from './server.ts';

const internalToken = 'between processes';
const registry = new Registry();
const app = predictorServer({
  predictor: {
    predict: () => Promise.reject(new Overloaded(4_000, 6_400)),
    warm: () => Promise.resolve(),
    latency: () => Promise.reject(new Error('not asked')),
    loadedBytes: () => 0,
  },
  internalToken,
  registry,
  checks: [],
  onError: (error) => expect.unreachable(String(error)),
});
let predictorUrl = '';

beforeAll(async () => {
  await app.listen({ host: '127.0.0.1', port: 0 });
  predictorUrl = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
});
afterAll(async () => await app.close());

describe('a predictor that has too much to do', () => {
  it('says so, and when to ask again; its client passes that on', async () => {
    const asked = createPredictorClient({ predictorUrl, internalToken }).predict({
      tenantId: 't',
      customizationId: 'c',
      version: 1,
      inputs: [{ text: 'hello' }],
    });
    const error: unknown = await asked.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PredictorOverloaded);
    expect(error).toMatchObject({ retryAfterSeconds: 7, message: expect.stringContaining('4000 texts wait') as string });
    expect(await registry.metrics()).toContain('mw_predict_refused_total 1');
  });
});
