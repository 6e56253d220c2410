import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseGtid } from '../../core/gtid.ts';
import { nowMs, sleep } from '../../platform/clock.ts';
import type { ApiContext } from '../context.ts';
import { Problem } from '../problems.ts';
import { isEnded, receiptOf } from '../receipt.ts';
import { gtidParams, receiptQuery } from '../schemas.ts';
import { sendEvents } from '../sse.ts';

const tags = ['receipts'];
const pollMs = 200;

export function receiptRoutes(app: FastifyInstance, { pool }: ApiContext): void {
  const load = (request: FastifyRequest) => {
    const { gtid } = gtidParams.parse(request.params);
    if (!parseGtid(gtid)) throw new Problem('invalid_request', 'a commit is a GTID such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:23');
    const { caller } = request;
    return receiptOf(pool, gtid.toLowerCase(), caller?.kind === 'tenant' ? caller.tenantId : null);
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
