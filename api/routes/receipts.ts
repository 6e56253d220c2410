import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseGtid } from '../../core/gtid.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import type { ApiContext } from '../context.ts';
import { Problem } from '../problems.ts';
import { isEnded, receiptOf } from '../receipt.ts';
import { gtidParams, receiptQuery } from '../schemas.ts';
import { sendEvents } from '../sse.ts';
import { tenantStatus } from '../tenant-workflow.ts';

const tags = ['receipts'];
const pollMs = 200;
/** Receipts are asked for several times a second: the workflow need not be. */
const rememberedMs = 1_000;

/** The last answer for each key, as long as it is fresh. */
function remembered<T>(ask: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const answers = new Map<string, { readonly atMs: number; readonly answer: Promise<T> }>();
  return (key) => {
    const now = nowMs();
    const known = answers.get(key);
    if (known && now - known.atMs < rememberedMs) return known.answer;
    for (const [old, { atMs }] of answers) if (now - atMs >= rememberedMs) answers.delete(old);
    const answer = ask(key);
    answers.set(key, { atMs: now, answer });
    return answer;
  };
}

export function receiptRoutes(app: FastifyInstance, context: ApiContext): void {
  const statusOf = remembered((tenantId: string) => tenantStatus(context, tenantId));
  const load = (request: FastifyRequest) => {
    const { gtid } = gtidParams.parse(request.params);
    if (!parseGtid(gtid))
      throw new Problem(
        'invalid_request',
        'a commit is one GTID such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:23, or with a tag 3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:23',
      );
    const { caller } = request;
    return receiptOf({ pool: context.pool, statusOf }, gtid.toLowerCase(), caller?.kind === 'tenant' ? caller.tenantId : null);
  };
  app.get(
    '/v1/receipts/:gtid',
    {
      schema: {
        tags,
        summary: 'What became of a commit; `wait` answers when a station is reached',
        params: gtidParams,
        querystring: receiptQuery,
      },
    },
    async (request) => {
      const { wait, timeoutMs } = receiptQuery.parse(request.query);
      const deadline = nowMs() + timeoutMs;
      for (;;) {
        const receipt = await load(request);
        if (wait === undefined || isEnded(receipt) || receipt.stations.find(({ name }) => name === wait)?.at || nowMs() >= deadline)
          return receipt;
        await sleep(pollMs);
      }
    },
  );
  app.get(
    '/v1/receipts/:gtid/events',
    { schema: { tags, summary: 'The receipt as server-sent events', params: gtidParams } },
    async (request, reply) => sendEvents(reply, () => load(request), isEnded),
  );
}
