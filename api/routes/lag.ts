import type { FastifyInstance } from 'fastify';
import type { ApiContext } from '../context.ts';
import { lagRows } from '../lag.ts';
import { page, partsOf } from '../paging.ts';
import { pageQuery } from '../schemas.ts';

/** How far learning is behind, for `mw status` and for whoever watches an objective. */
export function lagRoutes(app: FastifyInstance, { pool }: ApiContext): void {
  app.get(
    '/v1/lag',
    {
      schema: {
        tags: ['lag'],
        summary: 'Lag and objective of every customization: of the tenant, or with the operator key of all',
        querystring: pageQuery,
      },
    },
    async (request) => {
      const { limit, cursor } = pageQuery.parse(request.query);
      const { caller } = request;
      const [tenant, customization] = (partsOf(cursor, 2) ?? ['', '']).map(String);
      const rows = await lagRows(pool, caller?.kind === 'tenant' ? caller.tenantId : null, [tenant ?? '', customization ?? ''], limit + 1);
      return page(
        rows,
        limit,
        (lag) => lag,
        ({ tenantId, customizationId }) => [tenantId, customizationId],
      );
    },
  );
}
