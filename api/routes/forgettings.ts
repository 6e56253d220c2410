import type { FastifyInstance } from 'fastify';
import { type ForgettingCertificate, type ForgettingKey, type ForgettingState, maxForgotten } from '../../core/forgetting.ts';
import { forgetWorkflowId } from '../../core/ids.ts';
import type { Json } from '../../core/json.ts';
import { type Policy, defaultPolicy } from '../../core/policy.ts';
import { sourceName } from '../../core/source-mapping.ts';
import { forgetType, taskQueues } from '../../core/task-queues.ts';
import { randomBytes } from '../../platform/clock.ts';
import { bucketOf } from '../../platform/hash.ts';
import type { PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { exampleTexts } from '../../store/example-texts.ts';
import { needlesOf } from '../../store/raw-search.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { type CustomizationRow, findCustomization } from '../example-content.ts';
import { openMapped } from '../mapped-examples.ts';
import { page, partsOf } from '../paging.ts';
import { Problem } from '../problems.ts';
import { customizationParams, forgetBody, runParams, pageQuery } from '../schemas.ts';
import { withinDeadline } from '../tenant-workflow.ts';
import { write } from '../write.ts';
import { actorOf } from './runs.ts';

type ForgettingRow = RowDataPacket & {
  number: number;
  state: ForgettingState;
  waits_for: string[];
  examples: number;
  withdrawn: { versions: number[]; datasets: number[] };
  reason: string | null;
  asked_by: string;
  asked_at: Date;
  deadline_at: Date;
  ended_at: Date | null;
  certificate: ForgettingCertificate | null;
};

const tags = ['forgetting'];
const columns = 'number, state, waits_for, examples, withdrawn, reason, asked_by, asked_at, deadline_at, ended_at, certificate';
const scope = 'tenant_id = ? AND customization_id = ?';
const startDeadlineMs = 10_000;
const saltBytes = 16;
const namedAtMost = 100;

const shown = (row: ForgettingRow) => ({
  number: row.number,
  state: row.state,
  waitsFor: row.waits_for,
  examples: row.examples,
  withdrawn: row.withdrawn,
  reason: row.reason,
  askedBy: row.asked_by,
  askedAt: row.asked_at.toISOString(),
  deadlineAt: row.deadline_at.toISOString(),
  endedAt: row.ended_at?.toISOString() ?? null,
  certificate: row.certificate,
});

/** Rows are forgotten: deleted here, then taken out of everything that learned them, with a certificate. */
export function forgettingRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, temporal, logger } = context;

  /** Begins the workflow; the one of an earlier answer is found again. What cannot be begun now is begun by the schedule `forgettings`. */
  const begin = async (key: ForgettingKey): Promise<void> => {
    try {
      await withinDeadline(temporal, startDeadlineMs, () =>
        temporal.workflow.start(forgetType, {
          workflowId: forgetWorkflowId(key),
          taskQueue: taskQueues.orchestrator,
          args: [key],
          workflowIdConflictPolicy: 'USE_EXISTING',
          staticSummary: `Forgets rows of ${key.customizationId}`,
          priority: { fairnessKey: key.tenantId },
        }),
      );
    } catch (error) {
      logger.warn({ err: error, ...key }, 'the forgetting is on record and could not be begun: the schedule `forgettings` does it');
    }
  };

  app.post(
    '/v1/customizations/:c/$forget',
    {
      schema: {
        tags,
        summary: `Forget up to ${maxForgotten} examples: they are deleted, what learned them is withdrawn, and a certificate is issued`,
        params: customizationParams,
        body: forgetBody,
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { exampleIds, deadlineMs, reason = null } = forgetBody.parse(request.body);
      const ids = [...new Set(exampleIds)].sort();
      const before = await findCustomization(pool, tenantId, c);
      if (before.source) await refusePresent(context, before, ids);
      let key: ForgettingKey | null = null;
      const answer = await write(context, request, reply, tenantId, async (connection) => {
        const customization = await findCustomization(connection, tenantId, c, 'FOR UPDATE');
        const same = await sameUnended(connection, tenantId, c, ids);
        if (same === null && customization.source?.table !== before.source?.table) throw new Problem('version_conflict');
        const number = same ?? (await ask(connection, customization, tenantId, { ids, deadlineMs, reason, by: actorOf(request.caller) }));
        key = { tenantId, customizationId: c, number };
        return { status: 202, body: { customization: c, number, state: 'waiting', examples: ids.length }, customizationId: c };
      });
      // An answer that is given again after the first one was lost: its workflow may never have been begun.
      key ??= await lastOf(context, tenantId, c);
      if (key) await begin(key);
      return answer;
    },
  );

  app.get(
    '/v1/customizations/:c/forgettings',
    { schema: { tags, summary: 'Requests to forget, the latest first', params: customizationParams, querystring: pageQuery } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { limit, cursor } = pageQuery.parse(request.query);
      const [rows] = await pool.query<ForgettingRow[]>(
        `SELECT ${columns} FROM modelwright_control.forgettings WHERE ${scope} AND number < ? ORDER BY number DESC LIMIT ?`,
        [tenantId, c, partsOf(cursor, 1)?.[0] ?? 2 ** 32, limit + 1],
      );
      // One that was deleted has its requests still.
      if (rows.length === 0) await findCustomization(pool, tenantId, c);
      return page(rows, limit, shown, ({ number }) => [number]);
    },
  );
  app.get(
    '/v1/customizations/:c/forgettings/:n',
    { schema: { tags, summary: 'How far it is, what it waits for, and the certificate', params: runParams } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c, n } = runParams.parse(request.params);
      const [rows] = await pool.query<ForgettingRow[]>(
        `SELECT ${columns} FROM modelwright_control.forgettings WHERE ${scope} AND number = ?`,
        [tenantId, c, n],
      );
      if (!rows[0]) throw new Problem('not_found', `there is no forgetting ${n} of ${c}`);
      return shown(rows[0]);
    },
  );
}

async function lastOf({ pool }: ApiContext, tenantId: string, c: string): Promise<ForgettingKey | null> {
  const [rows] = await pool.query<ForgettingRow[]>(
    `SELECT number FROM modelwright_control.forgettings WHERE ${scope} AND ended_at IS NULL ORDER BY number DESC LIMIT 1`,
    [tenantId, c],
  );
  return rows[0] ? { tenantId, customizationId: c, number: rows[0].number } : null;
}

/** The request that asks for the same and is not done: it is not made twice. */
async function sameUnended(connection: PoolConnection, tenantId: string, c: string, ids: readonly string[]): Promise<number | null> {
  const [rows] = await connection.query<ForgettingRow[]>(
    `SELECT number FROM modelwright_control.forgettings WHERE ${scope} AND ended_at IS NULL AND example_ids = CAST(? AS JSON)`,
    [tenantId, c, JSON.stringify(ids)],
  );
  return rows[0]?.number ?? null;
}

/** Deletes the rows that are kept here and puts the request on record, in the transaction of the write. Their texts are not kept: only what finds them. */
async function ask(
  connection: PoolConnection,
  customization: CustomizationRow,
  tenantId: string,
  asked: { readonly ids: readonly string[]; readonly deadlineMs: number | undefined; readonly reason: string | null; readonly by: string },
): Promise<number> {
  const c = customization.customization_id;
  const salt = randomBytes(saltBytes).toString('hex');
  const pairs = asked.ids.map((id) => [bucketOf(id), id]);
  const [rows] = customization.source
    ? [[]]
    : await connection.query<(RowDataPacket & { content: { [field: string]: Json } })[]>(
        `SELECT content FROM modelwright.examples WHERE ${scope} AND (bucket, example_id) IN (?) FOR UPDATE`,
        [tenantId, c, pairs],
      );
  if (rows.length > 0)
    await connection.query(`DELETE FROM modelwright.examples WHERE ${scope} AND (bucket, example_id) IN (?)`, [tenantId, c, pairs]);
  const texts = [...new Set(rows.flatMap(({ content }) => exampleTexts(content)))];
  const [last] = await connection.query<(RowDataPacket & { number: string })[]>(
    `SELECT COALESCE(MAX(number), 0) + 1 AS number FROM modelwright_control.forgettings WHERE ${scope}`,
    [tenantId, c],
  );
  const number = Number(last[0]?.number ?? 1);
  const policy: Policy = { ...defaultPolicy, ...customization.policy };
  await connection.query(
    `INSERT INTO modelwright_control.forgettings
       (tenant_id, customization_id, number, example_ids, examples, salt, needles, reason, asked_by, waits_for, deadline_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '["its workflow to begin"]', UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)`,
    [
      tenantId,
      c,
      number,
      JSON.stringify(asked.ids),
      asked.ids.length,
      salt,
      JSON.stringify(needlesOf(texts, salt)),
      asked.reason,
      asked.by,
      (asked.deadlineMs ?? policy.deletionDeadlineMs) * 1_000,
    ],
  );
  return number;
}

/** Rows of a tenant's own table are the tenant's to delete: what is still there would be learned again. */
async function refusePresent(context: ApiContext, customization: CustomizationRow, ids: readonly string[]): Promise<void> {
  const { source } = customization;
  if (!source) return;
  const table = await openMapped(context, customization, source);
  const present: string[] = [];
  for (const id of ids) if (await table.one(context.pool, id)) present.push(id);
  if (present.length > 0)
    throw new Problem(
      'rows_not_deleted',
      `${present.length} of the rows ${present.length === 1 ? 'is' : 'are'} in ${sourceName(source)} still: delete them there first`,
      present.slice(0, namedAtMost).map((id) => ({ pointer: `/exampleIds/${id}`, message: 'is in the table still' })),
    );
}
