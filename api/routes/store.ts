import { WorkflowExecutionAlreadyStartedError, WorkflowFailedError } from '@temporalio/client';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { storeGcType, storeScrubType, taskQueues } from '../../core/task-queues.ts';
import { versionName } from '../../core/ids.ts';
import type { StorageUse } from '../../core/store-care.ts';
import type { TenantQuotas } from '../../core/quotas.ts';
import { randomUUID } from '../../platform/clock.ts';
import type { PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { baseUse, storageUse } from '../../store/storage-use.ts';
import { placementColumn } from '../../store/tenant-placements.ts';
import { operatorOnly, tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { page, partsOf } from '../paging.ts';
import { Problem } from '../problems.ts';
import { gcBody, holdParams, pageQuery, reasonBody, tenantParams } from '../schemas.ts';
import { withinDeadline } from '../tenant-workflow.ts';
import { idempotencyKeyOf, write } from '../write.ts';

type TenantRow = RowDataPacket & { tenant_id: string; quotas: TenantQuotas; placement: string | null };
type RoundRow = RowDataPacket & {
  round_id: string;
  kind: string;
  share_index: number | null;
  share_of: number | null;
  started_at: Date;
  ended_at: Date | null;
  report: unknown;
};
type DamageRow = RowDataPacket & {
  object_key: string;
  sha256: string;
  tenant_id: string;
  what: string;
  found_at: Date;
  repaired_at: Date | null;
  repaired_from: string | null;
};

const tags = ['storage'];
/** A round over much takes longer: who waits asks again with the same Idempotency-Key. */
const answerDeadlineMs = 55_000;
const recent = 100;
/** The operator's own writes are kept apart from the tenants'. */
const operatorScope = '';

const tenantColumns = `tenant_id, quotas, ${placementColumn}`;

const shownUse = ({ tenant_id: tenantId, quotas, placement }: TenantRow, use: StorageUse) => ({
  tenantId,
  /** A name of MW_PLACEMENTS; null: the default. */
  placement,
  ...use,
  /** What the quota is compared with. */
  countedBytes: use.datasets.bytes + use.models.bytes,
  quotaBytes: quotas.storageBytes ?? null,
});

/** What lies in the store, whose it is, and the care for it. */
export function storeRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, store, temporal } = context;
  const useOf = async (tenantId: string) => {
    const [rows] = await pool.query<TenantRow[]>(`SELECT ${tenantColumns} FROM modelwright_control.tenants AS tenant WHERE tenant_id = ?`, [
      tenantId,
    ]);
    if (!rows[0]) throw new Problem('not_found', `there is no tenant ${tenantId}`);
    return shownUse(rows[0], await storageUse(store, tenantId));
  };

  app.get(
    '/v1/storage',
    { schema: { tags, summary: 'Bytes of your datasets, models and staged objects; what all tenants share is not among them' } },
    async (request) => await useOf(tenantOf(request.caller)),
  );
  app.get(
    '/v1/tenants/:tenant/storage',
    { schema: { tags, summary: 'Bytes of a tenant by kind, and its quota (operator)', params: tenantParams } },
    async (request) => {
      operatorOnly(request.caller);
      return await useOf(tenantParams.parse(request.params).tenant);
    },
  );
  app.get(
    '/v1/store/usage',
    {
      schema: {
        tags,
        summary: 'Bytes of every tenant by kind, and of what all share, on the first page (operator)',
        querystring: pageQuery,
      },
    },
    async (request) => {
      operatorOnly(request.caller);
      const { limit, cursor } = pageQuery.parse(request.query);
      const [rows] = await pool.query<TenantRow[]>(
        `SELECT ${tenantColumns} FROM modelwright_control.tenants AS tenant WHERE tenant_id > ? ORDER BY tenant_id LIMIT ?`,
        [partsOf(cursor, 1)?.[0] ?? '', limit + 1],
      );
      const used = new Map<string, Awaited<ReturnType<typeof useOf>>>();
      for (const row of rows.slice(0, limit)) used.set(row.tenant_id, shownUse(row, await storageUse(store, row.tenant_id)));
      const shown = page(
        rows,
        limit,
        ({ tenant_id }) => used.get(tenant_id),
        ({ tenant_id }) => [tenant_id],
      );
      return { ...shown, base: cursor === undefined ? await baseUse(store) : null };
    },
  );

  /** Starts a round, or finds the one that this request started before, and waits for its report. */
  const round = async (
    request: FastifyRequest,
    reply: FastifyReply,
    type: string,
    name: string,
    args: readonly unknown[],
    staticSummary: string,
  ): Promise<unknown> => {
    operatorOnly(request.caller);
    const workflowId = `${name}/${idempotencyKeyOf(request) ?? randomUUID()}`;
    let report: unknown;
    try {
      report = await withinDeadline(temporal, answerDeadlineMs, async () => {
        try {
          await temporal.workflow.start(type, {
            workflowId,
            taskQueue: taskQueues.orchestrator,
            args: [...args],
            workflowIdReusePolicy: 'REJECT_DUPLICATE',
            staticSummary,
          });
        } catch (error) {
          if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        }
        return await temporal.workflow.getHandle(workflowId).result();
      });
    } catch (error) {
      if (error instanceof WorkflowFailedError)
        throw new Problem('refused', `the round did not end well: see ${workflowId} in the Temporal Web UI`);
      throw new Problem('temporal_unavailable');
    }
    if (report !== null) return report;
    const detail = 'the round goes on: ask again with the same Idempotency-Key to wait for it, or look at GET /v1/store/rounds';
    return await reply.code(202).send({ pending: true, workflowId, detail });
  };
  app.post(
    '/v1/store/gc',
    { schema: { tags, summary: 'Remove what nothing refers to, now; with dryRun only count it (operator)', body: gcBody } },
    async (request, reply) => {
      const { dryRun } = gcBody.parse(request.body ?? {});
      const summary = dryRun ? 'Counts what nothing refers to' : 'Removes what nothing refers to';
      return await round(request, reply, storeGcType, dryRun ? 'store-gc/dry-run' : 'store-gc', [{ dryRun }], summary);
    },
  );
  app.post(
    '/v1/store/scrub',
    { schema: { tags, summary: 'Read everything that is stored, compare its digests and mend what can be mended, now (operator)' } },
    async (request, reply) =>
      await round(request, reply, storeScrubType, 'store-scrub', [{ everything: true }], 'Reads everything that is stored'),
  );

  app.get(
    '/v1/store/rounds',
    { schema: { tags, summary: 'Rounds of the care for the store, the latest first (operator)' } },
    async (request) => {
      operatorOnly(request.caller);
      const [rows] = await pool.query<RoundRow[]>(
        `SELECT * FROM modelwright_control.store_rounds ORDER BY started_at DESC, round_id LIMIT ${recent}`,
      );
      return {
        items: rows.map(({ round_id: id, kind, share_index, share_of, started_at, ended_at, report }) => ({
          id,
          kind,
          share: share_index === null ? null : { index: share_index, of: share_of },
          startedAt: started_at.toISOString(),
          endedAt: ended_at?.toISOString() ?? null,
          report,
        })),
        nextCursor: null,
      };
    },
  );
  app.get(
    '/v1/store/damages',
    { schema: { tags, summary: 'Objects that did not have the bytes they should have, those that are not mended first (operator)' } },
    async (request) => {
      operatorOnly(request.caller);
      const [rows] = await pool.query<DamageRow[]>(
        `SELECT * FROM modelwright_control.store_damages ORDER BY repaired_at IS NOT NULL, found_at DESC, object_key LIMIT ${recent}`,
      );
      return {
        items: rows.map(({ object_key: key, sha256, tenant_id, what, found_at, repaired_at, repaired_from }) => ({
          key,
          sha256,
          tenantId: tenant_id === '' ? null : tenant_id,
          what,
          foundAt: found_at.toISOString(),
          repairedAt: repaired_at?.toISOString() ?? null,
          repairedFrom: repaired_from,
        })),
        nextCursor: null,
      };
    },
  );

  /** The version, locked: it is not removed while it is held. */
  const lockVersion = async (connection: PoolConnection, tenant: string, c: string, version: number): Promise<void> => {
    const [rows] = await connection.query<(RowDataPacket & { removed_at: Date | null })[]>(
      `SELECT removed_at FROM modelwright_control.model_versions
       WHERE tenant_id = ? AND customization_id = ? AND version = ? FOR UPDATE`,
      [tenant, c, version],
    );
    if (!rows[0]) throw new Problem('not_found', `there is no version ${versionName(version)} of ${tenant}/${c}`);
    if (rows[0].removed_at)
      throw new Problem(
        'version_removed',
        `${versionName(version)} of ${tenant}/${c} was removed on ${rows[0].removed_at.toISOString()}: there is nothing left to hold`,
      );
  };
  const hold = '/v1/tenants/:tenant/customizations/:c/models/:v/hold';
  app.put(
    hold,
    { schema: { tags, summary: 'Keep a version, whatever the retention says (operator)', params: holdParams, body: reasonBody } },
    async (request, reply) => {
      operatorOnly(request.caller);
      const { tenant, c, v } = holdParams.parse(request.params);
      const { reason } = reasonBody.parse(request.body ?? {});
      const version = Number(v.replace(/^v/, ''));
      return await write(context, request, reply, operatorScope, async (connection) => {
        await lockVersion(connection, tenant, c, version);
        await connection.query(
          `INSERT INTO modelwright_control.model_holds (tenant_id, customization_id, version, reason) VALUES (?, ?, ?, ?) AS own
           ON DUPLICATE KEY UPDATE reason = own.reason`,
          [tenant, c, version, reason ?? null],
        );
        return { status: 200, body: { tenantId: tenant, customizationId: c, version, held: true } };
      });
    },
  );
  app.delete(
    hold,
    { schema: { tags, summary: 'Let the retention decide again (operator)', params: holdParams } },
    async (request, reply) => {
      operatorOnly(request.caller);
      const { tenant, c, v } = holdParams.parse(request.params);
      const version = Number(v.replace(/^v/, ''));
      return await write(context, request, reply, operatorScope, async (connection) => {
        await connection.query('DELETE FROM modelwright_control.model_holds WHERE tenant_id = ? AND customization_id = ? AND version = ?', [
          tenant,
          c,
          version,
        ]);
        return { status: 200, body: { tenantId: tenant, customizationId: c, version, held: false } };
      });
    },
  );
}
