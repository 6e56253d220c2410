import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { GateDetails, GateVerdict } from '../../core/model.ts';
import { type RunPause, type RunState, type StageTimes, endedRunStates } from '../../core/run.ts';
import { type RunPauseState, messageNames } from '../../core/tenant-messages.ts';
import { randomUUID } from '../../platform/clock.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { ObjectMissing } from '../../store/object-store.ts';
import { type Caller, tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { findCustomization } from '../example-content.ts';
import { page, partsOf } from '../paging.ts';
import { Problem } from '../problems.ts';
import { customizationParams, pageQuery, reasonBody, retrainBody, runParams } from '../schemas.ts';
import { sendEvents } from '../sse.ts';
import { pauseDeadlineMs, retrain, update } from '../tenant-workflow.ts';
import { idempotencyKeyOf } from '../write.ts';

type RunRow = RowDataPacket & {
  number: number;
  state: RunState;
  trigger_kind: string;
  reason: string | null;
  failure_class: string | null;
  attempt: number;
  version: number | null;
  progress: unknown;
  metrics: unknown;
  verdict: GateVerdict | null;
  stages: StageTimes[];
  training_ms: string | null;
  gpu_seconds: number | null;
  paused: RunPause | null;
  created_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
  dataset_number: number | null;
  digest: string | null;
  row_count: string | null;
  cut: string | null;
};

const tags = ['runs'];
const iso = (date: Date | null): string | null => date?.toISOString() ?? null;
const select = `SELECT r.number, r.state, r.trigger_kind, r.reason, r.failure_class, r.attempt, r.version, r.progress, r.metrics, r.verdict, r.stages,
    r.training_ms, r.gpu_seconds, r.paused, r.created_at, r.started_at, r.ended_at, d.number AS dataset_number, d.digest, d.row_count, d.cut
  FROM modelwright_control.runs r
  LEFT JOIN modelwright_control.datasets d ON d.tenant_id = r.tenant_id AND d.customization_id = r.customization_id AND d.run_number = r.number
  WHERE r.tenant_id = ? AND r.customization_id = ?`;

const shownPause = (pause: RunPause | null) =>
  pause && { since: new Date(pause.sinceMs).toISOString(), by: pause.by, reason: pause.reason };

const shown = (row: RunRow) => ({
  number: row.number,
  state: row.state,
  trigger: row.trigger_kind,
  reason: row.reason,
  failureClass: row.failure_class,
  attempt: row.attempt,
  dataset:
    row.dataset_number === null ? null : { number: row.dataset_number, digest: row.digest, rows: Number(row.row_count), cut: row.cut },
  paused: shownPause(row.paused),
  progress: row.progress,
  metrics: row.metrics,
  verdict: row.verdict,
  version: row.version,
  trainingMs: row.training_ms === null ? null : Number(row.training_ms),
  gpuSeconds: row.gpu_seconds,
  queuedAt: iso(row.created_at),
  startedAt: iso(row.started_at),
  endedAt: iso(row.ended_at),
  stages: row.stages.map(({ name, startedAtMs, endedAtMs }) => ({
    name,
    startedAt: new Date(startedAtMs).toISOString(),
    endedAt: endedAtMs === undefined ? null : new Date(endedAtMs).toISOString(),
  })),
});

export const actorOf = (caller: Caller | undefined): string => (caller?.kind === 'tenant' ? `key ${caller.keyId}` : 'operator');

export function runRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, store } = context;
  const findRun = async (tenantId: string, c: string, n: number): Promise<RunRow> => {
    const [rows] = await pool.query<RunRow[]>(`${select} AND r.number = ?`, [tenantId, c, n]);
    if (!rows[0]) throw new Problem('not_found', `there is no run ${n} of ${c}`);
    return rows[0];
  };

  app.get(
    '/v1/customizations/:c/runs',
    { schema: { tags, summary: 'Training runs, the latest first', params: customizationParams, querystring: pageQuery } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { limit, cursor } = pageQuery.parse(request.query);
      await findCustomization(pool, tenantId, c);
      const before = partsOf(cursor, 1)?.[0] ?? 2 ** 32;
      const [rows] = await pool.query<RunRow[]>(`${select} AND r.number < ? ORDER BY r.number DESC LIMIT ?`, [
        tenantId,
        c,
        before,
        limit + 1,
      ]);
      return page(rows, limit, shown, (row) => [row.number]);
    },
  );

  app.get(
    '/v1/customizations/:c/runs/:n',
    { schema: { tags, summary: 'One run, with live progress', params: runParams } },
    async (request) => {
      const { c, n } = runParams.parse(request.params);
      return shown(await findRun(tenantOf(request.caller), c, n));
    },
  );

  app.get(
    '/v1/customizations/:c/runs/:n/gate',
    { schema: { tags, summary: 'What the gate saw: confusions, worst errors and changed answers, by id', params: runParams } },
    async (request) => {
      const { c, n } = runParams.parse(request.params);
      const { verdict } = await findRun(tenantOf(request.caller), c, n);
      if (!verdict?.details)
        throw new Problem('not_found', `run ${n} of ${c} has no details of a gate: it has not come so far, or is older than they are`);
      try {
        return JSON.parse(Buffer.from(await store.read(verdict.details)).toString('utf8')) as GateDetails;
      } catch (error) {
        if (!(error instanceof ObjectMissing)) throw error;
        throw new Problem(
          'version_removed',
          `the details of run ${n} of ${c} were removed: they are kept for the newest runs and versions`,
        );
      }
    },
  );

  app.get(
    '/v1/customizations/:c/runs/:n/events',
    { schema: { tags, summary: 'A run as server-sent events', params: runParams } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c, n } = runParams.parse(request.params);
      await sendEvents(
        reply,
        async () => shown(await findRun(tenantId, c, n)),
        ({ state }) => endedRunStates.includes(state),
      );
    },
  );

  /** An update about a run that has not ended. */
  const ask = async <T>(request: FastifyRequest, name: string, deadlineMs?: number): Promise<T> => {
    const tenantId = tenantOf(request.caller);
    const { c, n } = runParams.parse(request.params);
    const { reason } = reasonBody.parse(request.body ?? {});
    const { state } = await findRun(tenantId, c, n);
    if (endedRunStates.includes(state)) throw new Problem('refused', `run ${n} has ended already: ${state}`);
    const updateId = idempotencyKeyOf(request) ?? randomUUID();
    const asked = { customizationId: c, run: n, reason, actor: actorOf(request.caller) };
    return await update<T>(context, tenantId, name, asked, updateId, deadlineMs);
  };

  app.post(
    '/v1/customizations/:c/runs/:n/$cancel',
    { schema: { tags, summary: 'Stop a run', params: runParams, body: reasonBody } },
    async (request, reply) => {
      const { run } = await ask<{ readonly run: number }>(request, messageNames.cancelRun);
      return await reply.code(202).send({ run, cancelling: true });
    },
  );

  app.post(
    '/v1/customizations/:c/runs/:n/$pause',
    {
      schema: {
        tags,
        summary: 'Stop the job of a run that trains, with a checkpoint; 200 when it is really stopped, 202 when it still stops',
        params: runParams,
        body: reasonBody,
      },
    },
    async (request, reply) => {
      const { run, paused } = await ask<RunPauseState>(request, messageNames.pauseRun, pauseDeadlineMs);
      return await reply.code(paused ? 200 : 202).send({ run, paused: shownPause(paused), pausing: paused === null });
    },
  );

  app.post(
    '/v1/customizations/:c/runs/:n/$resume',
    { schema: { tags, summary: 'Let a paused run go on from its checkpoint', params: runParams, body: reasonBody } },
    async (request, reply) => {
      const { run, paused } = await ask<RunPauseState>(request, messageNames.resumeRun, pauseDeadlineMs);
      return await reply.code(paused ? 202 : 200).send({ run, paused: shownPause(paused), resuming: paused !== null });
    },
  );

  app.post(
    '/v1/customizations/:c/$retrain',
    { schema: { tags, summary: 'Ask for a run now', params: customizationParams, body: retrainBody } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { reason, force } = retrainBody.parse(request.body ?? {});
      await findCustomization(pool, tenantId, c);
      await retrain(context, tenantId, {
        customizationId: c,
        actor: actorOf(request.caller),
        ...(reason === undefined ? {} : { reason }),
        ...(force === undefined ? {} : { force }),
      });
      return await reply.code(202).send({ accepted: true });
    },
  );
}
