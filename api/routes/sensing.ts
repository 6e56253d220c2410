import type { FastifyInstance } from 'fastify';
import { sensingReport } from '../../platform/sensing-report.ts';
import { operatorOnly } from '../auth.ts';
import type { ApiContext } from '../context.ts';

export function sensingRoutes(app: FastifyInstance, { pool, config }: ApiContext): void {
  app.get(
    '/v1/sensing',
    { schema: { tags: ['sensing'], summary: 'What is or was wrong between the binary log and the change consumer, and where both stand' } },
    async (request) => {
      operatorOnly(request.caller);
      return await sensingReport(pool, config.connectUrl);
    },
  );
}
