import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { createJsonSchemaTransform } from '@fastify/type-provider-zod';
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { z } from 'zod';
import { readiness } from '../platform/health-server.ts';
import { isUnavailable } from '../platform/mysql.ts';
import { ObjectMissing, StoreUnavailable } from '../store/object-store.ts';
import { type Caller, callerOf } from './auth.ts';
import type { ApiContext } from './context.ts';
import { fieldErrors } from './example-content.ts';
import { sourceProblem } from './mapped-examples.ts';
import { Problem } from './problems.ts';
import { businessModelRoutes } from './routes/business-models.ts';
import { customizationRoutes } from './routes/customizations.ts';
import { exampleRoutes } from './routes/examples.ts';
import { feedbackRoutes } from './routes/feedback.ts';
import { forgettingRoutes } from './routes/forgettings.ts';
import { importRoutes } from './routes/import.ts';
import { lagRoutes } from './routes/lag.ts';
import { lineageRoutes } from './routes/lineage.ts';
import { modelRoutes } from './routes/models.ts';
import { receiptRoutes } from './routes/receipts.ts';
import { runRoutes } from './routes/runs.ts';
import { schemaRoutes } from './routes/schema.ts';
import { sensingRoutes } from './routes/sensing.ts';
import { servingRoutes } from './routes/serving.ts';
import { signingKeyRoutes } from './routes/signing-keys.ts';
import { sourceRoutes } from './routes/sources.ts';
import { storeRoutes } from './routes/store.ts';
import { tenantRoutes } from './routes/tenants.ts';
import { verificationRoutes } from './routes/verifications.ts';
import { problemBody } from './schemas.ts';

declare module 'fastify' {
  interface FastifyRequest {
    caller?: Caller;
  }
}

/** A batch of 1,000 examples with long texts. */
const maxBodyBytes = 64 * 1024 * 1024;
/** Of ids in paths: a prediction's is the longest, with its customization's in it, and characters may be escaped. */
const maxParamLength = 512;
const retryAfterSeconds = 2;

/** `…/news:predict` is routed as `…/news/$predict`: a colon in a path means a parameter to the router. */
const verbPath = /^(\/v1\/(?:predictions\/[^/?]+|customizations\/[^/?]+(?:\/examples|\/(?:models|runs)\/[^/?]+)?)):([a-zA-Z]+)(?=$|\?)/;

function toProblem(error: unknown, log: (error: unknown) => void): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof z.ZodError) return new Problem('invalid_request', 'the request is not valid', error.issues.flatMap(fieldErrors));
  if (isUnavailable(error)) return new Problem('database_unavailable');
  const unreadable = sourceProblem(error);
  if (unreadable) return unreadable;
  if (error instanceof StoreUnavailable || error instanceof ObjectMissing) return new Problem('store_unavailable');
  const { code, statusCode } = error as FastifyError;
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new Problem('unsupported_media_type', 'send application/json (imports: application/x-ndjson or text/csv)');
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new Problem('too_large');
  if (error instanceof SyntaxError || code === 'FST_ERR_CTP_INVALID_JSON_BODY' || code === 'FST_ERR_CTP_EMPTY_JSON_BODY')
    return new Problem('not_json');
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) return new Problem('invalid_request');
  log(error);
  return new Problem('internal');
}

/** The REST API over what it is given; nothing listens yet. */
export async function buildApp(context: ApiContext): Promise<FastifyInstance> {
  const { pool, logger } = context;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const seconds = new Histogram({
    name: 'mw_http_request_seconds',
    help: 'time of a request of the API',
    labelNames: ['method', 'route', 'status'],
    registers: [registry],
  });
  const app = Fastify({
    logger: false,
    bodyLimit: maxBodyBytes,
    forceCloseConnections: true,
    routerOptions: { maxParamLength },
    rewriteUrl: ({ url = '/' }) => url.replace(verbPath, '$1/$$$2'),
  });
  // Routes check their input themselves: the schemas they carry are for the OpenAPI file.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler(async (error, _request, reply) => {
    const problem = toProblem(error, (unexpected) => logger.error({ err: unexpected }, 'a request failed'));
    if (problem.status === 503) void reply.header('retry-after', problem.retryAfterSeconds ?? retryAfterSeconds);
    return await reply.code(problem.status).type('application/problem+json').send(problem.body);
  });
  app.setNotFoundHandler(async (request, reply) => {
    const problem = new Problem('not_found', `there is no ${request.method} ${request.url.split('?')[0] ?? ''}: see /docs`);
    return await reply.code(404).type('application/problem+json').send(problem.body);
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    seconds.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1_000);
  });

  const toJsonSchema = createJsonSchemaTransform({});
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Modelwright',
        version: '1.0.0',
        description: "Keeps every tenant's own NLP model true to the rows it keeps in MySQL.",
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
    transform: (route) => {
      const schema = { ...route.schema, response: { '4xx': problemBody.describe('a problem: `code` says which') } };
      return toJsonSchema({ ...route, schema });
    },
    transformObject: (document) => {
      if (!('openapiObject' in document)) return document.swaggerObject;
      const { openapiObject: openapi } = document;
      const { paths = {} } = openapi;
      for (const path of Object.keys(paths)) {
        const named = path.replace('/$', ':');
        if (named === path) continue;
        paths[named] = paths[path];
        delete paths[path];
      }
      return openapi;
    },
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true, uiConfig: { docExpansion: 'list' } });

  app.get('/livez', { schema: { hide: true } }, () => ({ live: true }));
  app.get('/readyz', { schema: { hide: true } }, async (_request, reply) => {
    const result = await readiness([{ name: 'mysql', check: async () => void (await pool.query('SELECT 1')) }]);
    return await reply.code(result.ready ? 200 : 503).send(result);
  });
  app.get(
    '/metrics',
    { schema: { hide: true } },
    async (_request, reply) => await reply.type(registry.contentType).send(await registry.metrics()),
  );
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());

  const authenticate = async (instance: FastifyInstance): Promise<void> => {
    instance.addHook('onRequest', async (request) => {
      request.caller = await callerOf(context, request);
    });
    for (const routes of [
      businessModelRoutes,
      customizationRoutes,
      exampleRoutes,
      receiptRoutes,
      runRoutes,
      modelRoutes,
      servingRoutes,
      feedbackRoutes,
      schemaRoutes,
      signingKeyRoutes,
      sourceRoutes,
      sensingRoutes,
    ])
      routes(instance, context);
    for (const routes of [forgettingRoutes, lagRoutes, lineageRoutes, storeRoutes, verificationRoutes]) routes(instance, context);
    // Each with hooks or parsers of its own.
    await instance.register(async (own) => tenantRoutes(own, context));
    await instance.register(async (own) => importRoutes(own, context));
  };
  await app.register(authenticate);
  await app.ready();
  return app;
}
