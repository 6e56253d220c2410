import { WorkflowFailedError } from '@temporalio/client';
import type { FastifyInstance } from 'fastify';
import { taskQueues, verificationType } from '../../core/task-queues.ts';
import { verificationWorkflowId } from '../../core/ids.ts';
import type { VerificationResult } from '../../core/verification.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { findCustomization } from '../example-content.ts';
import { page, partsOf } from '../paging.ts';
import { Problem } from '../problems.ts';
import { customizationParams, pageQuery } from '../schemas.ts';
import { withinDeadline } from '../tenant-workflow.ts';

type VerificationRow = RowDataPacket & { verified_at: Date; result: VerificationResult };

const tags = ['verifications'];
/** A comparison of a small table takes a second; who waits longer asks again, or looks at the list. */
const answerDeadlineMs = 55_000;
/** Later than any comparison. */
const endOfTime = new Date('9999-01-01T00:00:00Z');

/** Whether a dataset is what the table says (invariants I1 and I2). */
export function verificationRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, temporal } = context;

  app.post(
    '/v1/customizations/:c/$verify',
    { schema: { tags, summary: 'Compare the table with the last dataset, row by row', params: customizationParams } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      await findCustomization(pool, tenantId, c);
      const workflowId = verificationWorkflowId({ tenantId, customizationId: c });
      let result: VerificationResult | null;
      try {
        result = await withinDeadline(temporal, answerDeadlineMs, async () => {
          // Who asks while one is made gets that one's answer.
          const handle = await temporal.workflow.start(verificationType, {
            workflowId,
            taskQueue: taskQueues.orchestrator,
            args: [{ tenantId, customizationId: c }],
            workflowIdConflictPolicy: 'USE_EXISTING',
            staticSummary: `Compares ${c} with its last dataset`,
            priority: { fairnessKey: tenantId },
          });
          return (await handle.result()) as VerificationResult;
        });
      } catch (error) {
        if (error instanceof WorkflowFailedError) throw new Problem('refused', `the comparison could not be made: ${causeOf(error)}`);
        throw new Problem('temporal_unavailable');
      }
      if (result) return result;
      const detail =
        `the comparison is still being made (is the dataset worker running? see \`mw status\`): ask again to wait for the same one, ` +
        `or look at GET /v1/customizations/${c}/verifications`;
      return await reply.code(202).send({ pending: true, workflowId, detail });
    },
  );

  app.get(
    '/v1/customizations/:c/verifications',
    { schema: { tags, summary: 'Comparisons that were made, the latest first', params: customizationParams, querystring: pageQuery } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { limit, cursor } = pageQuery.parse(request.query);
      await findCustomization(pool, tenantId, c);
      const before = partsOf(cursor, 1)?.[0] ?? 'the end';
      const [rows] = await pool.query<VerificationRow[]>(
        `SELECT verified_at, result FROM modelwright_control.verifications
         WHERE tenant_id = ? AND customization_id = ? AND verified_at < ? ORDER BY verified_at DESC LIMIT ?`,
        [tenantId, c, typeof before === 'number' ? new Date(before) : endOfTime, limit + 1],
      );
      return page(
        rows,
        limit,
        ({ result }) => result,
        ({ verified_at }) => [verified_at.getTime()],
      );
    },
  );
}

function causeOf(error: Error): string {
  let current: Error = error;
  while (current.cause instanceof Error) current = current.cause;
  return current.message;
}
