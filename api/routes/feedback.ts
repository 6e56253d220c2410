import type { FastifyInstance } from 'fastify';
import type { Answer } from '../../catalog/contract.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { exampleChecker, findManaged, modelOf, storeExamples } from '../example-content.ts';
import { openPredictionId } from '../prediction-id.ts';
import { checkedInputs } from '../predict-inputs.ts';
import { type FieldError, Problem } from '../problems.ts';
import { feedbackBody, predictionParams } from '../schemas.ts';
import { write } from '../write.ts';

/** The right answer to what was predicted becomes an example, as one that is posted without an id: one for each text, however often it is told. */
export function feedbackRoutes(app: FastifyInstance, context: ApiContext): void {
  const { config, catalog } = context;
  app.post(
    '/v1/predictions/:id/$feedback',
    {
      schema: {
        tags: ['serving'],
        summary: 'The right answer to a prediction: it becomes an example',
        params: predictionParams,
        body: feedbackBody,
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { id } = predictionParams.parse(request.params);
      const opened = openPredictionId(config.internalToken, tenantId, id);
      if (!opened) throw new Problem('not_found', 'there is no prediction with this id');
      const body = feedbackBody.parse(request.body);
      const { customizationId: c, version, isInput } = opened;
      return await write(context, request, reply, tenantId, async (connection) => {
        const { business_model: businessModel } = await findManaged(connection, tenantId, c, 'FOR SHARE');
        const model = modelOf(catalog, businessModel);
        const [input = {}] = checkedInputs(model, [body.input], () => '/input');
        // Without this a slip would teach the right answer of one text for another.
        if (!isInput(input))
          throw invalid([{ pointer: '/input', message: 'is not what this prediction was asked: give the input unchanged' }]);
        const notAnswers = ['id', ...model.fields.input].filter((field) => field in body.answer);
        if (notAnswers.length > 0)
          throw invalid(notAnswers.map((field) => ({ pointer: `/answer/${field}`, message: 'is no part of an answer' })));
        const checked = exampleChecker(
          model,
          config.settings.MW_MAX_TEXT_CHARS,
        )(model.evaluation.exampleOf?.(input, body.answer as Answer) ?? { ...body.answer, ...input });
        const inputPointers = model.fields.input.map((field) => `/${field}`);
        if (!checked.ok)
          throw invalid(
            checked.errors.map(({ pointer, message }) => ({
              pointer: `${inputPointers.includes(pointer) ? '/input' : '/answer'}${pointer}`,
              message,
            })),
          );
        const { stored } = await storeExamples(connection, tenantId, c, new Map([[checked.id, checked.content]]));
        return {
          status: stored > 0 ? 201 : 200,
          body: { customization: c, version, example: checked.id },
          customizationId: c,
        };
      });
    },
  );
}

const invalid = (errors: readonly FieldError[]): Problem =>
  new Problem('invalid_example', `the feedback is not valid: ${errors.map(({ pointer }) => pointer).join(', ')}`, errors);
