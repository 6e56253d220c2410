import { timingSafeEqual } from 'node:crypto';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import { sha256Hex } from '../platform/hash.ts';
import type { ReadinessCheck } from '../platform/health-server.ts';
import { readiness } from '../platform/health-server.ts';
import { UntrustedModel } from '../store/model-signature.ts';
import { StoreUnavailable } from '../store/object-store.ts';
import { isUnavailable } from '../platform/mysql.ts';
import { predictorMetrics } from './metrics.ts';
import { NoSuchVersion } from './model-store.ts';
import { Overloaded } from './overloaded.ts';
import type { Predictor } from './predictor.ts';

const versionSchema = z.object({ tenantId: z.string(), customizationId: z.string(), version: z.number().int().positive() });
const predictSchema = versionSchema.extend({
  inputs: z.array(z.record(z.string(), z.json())).min(1).max(1_000),
  topK: z.number().int().min(1).max(100).optional(),
});
const latencySchema = versionSchema.extend({
  version: versionSchema.shape.version.nullable(),
  graph: z.object({ key: z.string(), sha256: z.string() }),
});
const maxBodyBytes = 64 * 1024 * 1024;

/** The predictor's internal routes, for our own processes only: they carry the internal token. */
export function predictorServer(options: {
  readonly predictor: Omit<Predictor, 'drop'>;
  readonly internalToken: string;
  readonly registry: Registry;
  readonly checks: readonly ReadinessCheck[];
  readonly onError: (error: unknown) => void;
}): FastifyInstance {
  const { predictor, internalToken, registry, checks, onError } = options;
  const expected = Buffer.from(sha256Hex(`Bearer ${internalToken}`));
  const { seconds, texts, refused } = predictorMetrics(registry, () => predictor.loadedBytes());
  const app = Fastify({ bodyLimit: maxBodyBytes, logger: false });
  app.addHook('onRequest', async (request, reply) => {
    if (!request.url.startsWith('/internal/')) return;
    const given = Buffer.from(sha256Hex(request.headers.authorization ?? ''));
    if (!timingSafeEqual(given, expected)) await reply.code(401).send({ detail: 'the internal token is missing or wrong' });
  });
  app.setErrorHandler((error, _request, reply) => {
    if (error instanceof z.ZodError) return reply.code(400).send({ detail: z.prettifyError(error) });
    if (error instanceof NoSuchVersion) return reply.code(404).send({ detail: error.message });
    if (error instanceof UntrustedModel) {
      onError(error);
      return reply.code(409).send({ detail: error.message });
    }
    if (error instanceof Overloaded) {
      refused.inc();
      return reply.code(503).header('retry-after', error.retryAfterSeconds).send({ detail: error.message, overloaded: true });
    }
    if (error instanceof StoreUnavailable || isUnavailable(error))
      return reply.code(503).send({ detail: 'the model cannot be loaded now: the store or the database is away' });
    onError(error);
    return reply.code(500).send({ detail: 'the model could not be loaded or run: see the log of the predictor' });
  });
  app.post('/internal/predict', async (request) => {
    const { topK, ...body } = predictSchema.parse(request.body);
    const stop = seconds.startTimer();
    const answer = await predictor.predict({ ...body, ...(topK === undefined ? {} : { topK }) });
    stop();
    texts.inc(body.inputs.length);
    return answer;
  });
  app.post('/internal/warm', async (request) => {
    await predictor.warm(versionSchema.parse(request.body));
    return { warm: true };
  });
  app.post('/internal/latency', async (request) => await predictor.latency(latencySchema.parse(request.body)));
  app.get('/livez', () => ({ live: true }));
  app.get('/readyz', async (_request, reply) => {
    const result = await readiness(checks);
    return await reply.code(result.ready ? 200 : 503).send(result);
  });
  app.get('/metrics', async (_request, reply) => await reply.type(registry.contentType).send(await registry.metrics()));
  return app;
}
