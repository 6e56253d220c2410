import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { BusinessModel } from '../../catalog/catalog.ts';
import type { ApiContext } from '../context.ts';
import { Problem } from '../problems.ts';

const shown = ({
  id,
  version,
  title,
  task,
  languages,
  methods,
  metric,
  fields,
  minimumData,
  tiers,
  optionSchema,
  exampleSchema,
}: BusinessModel) => ({
  id,
  version,
  title,
  task,
  languages,
  methods,
  metric,
  fields,
  minimumData,
  tiers,
  optionSchema,
  exampleSchema,
});

export function businessModelRoutes(app: FastifyInstance, { catalog }: ApiContext): void {
  app.get('/v1/business-models', { schema: { tags: ['catalogue'], summary: 'Business models to choose from' } }, () => ({
    items: [...catalog.values()].map(shown),
    nextCursor: null,
  }));
  const params = z.object({ id: z.string() });
  app.get('/v1/business-models/:id', { schema: { tags: ['catalogue'], summary: 'One business model', params } }, (request) => {
    const { id } = params.parse(request.params);
    const model = catalog.get(id);
    if (!model) throw new Problem('not_found', `the catalogue has no business model "${id}"; it has: ${[...catalog.keys()].join(', ')}`);
    return shown(model);
  });
}
