import type { FastifyInstance } from 'fastify';
import { nowMs } from '../../platform/clock.ts';
import { PredictorOverloaded, PredictorUnavailable, VersionNotServable } from '../../platform/predictor-client.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { openForgettings } from '../../platform/open-forgettings.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { findCustomization, modelOf } from '../example-content.ts';
import { lagOf } from '../lag.ts';
import { Problem } from '../problems.ts';
import { mappedReadiness } from '../mapped-examples.ts';
import { managedReadiness } from '../managed-readiness.ts';
import { predictionId } from '../prediction-id.ts';
import { checkedInputs } from '../predict-inputs.ts';
import { customizationParams, predictBody } from '../schemas.ts';
import { tenantStatus } from '../tenant-workflow.ts';

type VersionRow = RowDataPacket & { version: number };
type ServedRow = RowDataPacket & { business_model: string; version: number | null };

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** Asking the version in production, and how things stand. */
export function servingRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, predictor, catalog } = context;
  const productionOf = async (tenantId: string, c: string): Promise<number | null> => {
    const [rows] = await pool.query<VersionRow[]>(
      "SELECT version FROM modelwright_control.aliases WHERE tenant_id = ? AND customization_id = ? AND alias = 'production'",
      [tenantId, c],
    );
    return rows[0]?.version ?? null;
  };

  const servedBy = async (tenantId: string, c: string): Promise<ServedRow> => {
    const [rows] = await pool.query<ServedRow[]>(
      `SELECT c.business_model, a.version FROM modelwright.customizations c
       LEFT JOIN modelwright_control.aliases a
         ON a.tenant_id = c.tenant_id AND a.customization_id = c.customization_id AND a.alias = 'production'
       WHERE c.tenant_id = ? AND c.customization_id = ?`,
      [tenantId, c],
    );
    if (!rows[0]) throw new Problem('not_found', `there is no customization ${c}`);
    return rows[0];
  };

  /** What was withdrawn for a forgetting and has no successor. */
  const whyNone = async (tenantId: string, c: string): Promise<string | undefined> => {
    const [rows] = await pool.query<(RowDataPacket & { number: number })[]>(
      `SELECT number FROM modelwright_control.forgettings
       WHERE tenant_id = ? AND customization_id = ? AND JSON_LENGTH(withdrawn, '$.versions') > 0 ORDER BY number DESC LIMIT 1`,
      [tenantId, c],
    );
    return rows[0]
      ? `no version serves: what served was withdrawn, for it learned examples that are forgotten (forgetting ${rows[0].number}), and nothing has replaced it yet; GET .../status says what comes next`
      : undefined;
  };
  /** A predictor may have it in memory still. */
  const refuseWithdrawn = async (tenantId: string, c: string, version: number): Promise<void> => {
    const [rows] = await pool.query<(RowDataPacket & { withdrawn_at: Date })[]>(
      `SELECT withdrawn_at FROM modelwright_control.model_versions
       WHERE tenant_id = ? AND customization_id = ? AND version = ? AND withdrawn_at IS NOT NULL`,
      [tenantId, c, version],
    );
    if (rows[0]) throw new Problem('version_removed', `v${version} of ${c} was withdrawn on ${rows[0].withdrawn_at.toISOString()}`);
  };

  app.post(
    '/v1/customizations/:c/$predict',
    { schema: { tags: ['serving'], summary: 'Ask the version in production, or another', params: customizationParams, body: predictBody } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { inputs, version, topK } = predictBody.parse(request.body);
      const served = await servedBy(tenantId, c);
      const asked = version === undefined ? served.version : Number(String(version).replace(/^v/, ''));
      if (asked === null) throw new Problem('no_model_yet', await whyNone(tenantId, c));
      if (version !== undefined) await refuseWithdrawn(tenantId, c, asked);
      const checked = checkedInputs(modelOf(catalog, served.business_model), inputs);
      try {
        const answer = await predictor.predict({
          tenantId,
          customizationId: c,
          version: asked,
          inputs: checked,
          ...(topK === undefined ? {} : { topK }),
        });
        const of = { tenantId, customizationId: c, version: answer.version };
        return { ...answer, predictionIds: checked.map((input) => predictionId(context.config.internalToken, { ...of, input })) };
      } catch (error) {
        if (error instanceof VersionNotServable) throw new Problem('not_found', error.message);
        if (error instanceof PredictorOverloaded) throw new Problem('predictor_overloaded', error.message, [], error.retryAfterSeconds);
        if (error instanceof PredictorUnavailable) throw new Problem('predictor_unavailable', error.message);
        throw error;
      }
    },
  );

  app.get(
    '/v1/customizations/:c/readiness',
    { schema: { tags: ['customizations'], summary: 'Whether there is enough to learn from, label by label', params: customizationParams } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const customization = await findCustomization(pool, tenantId, c);
      const model = modelOf(catalog, customization.business_model);
      if (customization.source) return await mappedReadiness(context, customization, customization.source, model);
      return await managedReadiness(pool, [tenantId, c], model);
    },
  );

  app.get(
    '/v1/customizations/:c/status',
    { schema: { tags: ['customizations'], summary: 'What it is doing and why', params: customizationParams } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const row = await findCustomization(pool, tenantId, c);
      const [status, production, lag, open] = await Promise.all([
        tenantStatus(context, tenantId),
        productionOf(tenantId, c),
        lagOf(pool, tenantId, c),
        openForgettings(pool, { tenantId, customizationId: c }),
      ]);
      // Not done: what each waits for, or why it failed.
      const forgettings = open.map(({ tenantId: _tenant, customizationId: _customization, ...shown }) => shown);
      const known = status?.customizations.find(({ customizationId }) => customizationId === c);
      if (!known) {
        const away = status === null;
        return {
          phase: row.state === 'paused' ? 'paused' : away ? 'unknown' : 'idle',
          why: away
            ? 'nothing has been sensed yet, or the workflow service does not answer; examples and predictions work meanwhile'
            : 'no examples were sensed yet',
          pending: { inserted: 0, updated: 0, deleted: 0, since: null, dueAt: null },
          activeRun: null,
          production,
          held: null,
          forgettings,
          lag,
        };
      }
      const { phase, why, pending, activeRun, lagMs, lastFailure, heldSchema } = known;
      return {
        phase,
        why,
        pending: {
          inserted: pending.inserted,
          updated: pending.updated,
          deleted: pending.deleted,
          since: iso(pending.sinceMs),
          dueAt: iso(pending.dueAtMs),
        },
        activeRun,
        production,
        // A run that was started before goes on: the hold shows beside it.
        held: heldSchema
          ? { reason: heldSchema.reason, changeId: heldSchema.changeId, kind: heldSchema.kind, since: iso(heldSchema.atMs) }
          : phase === 'held'
            ? { reason: why }
            : null,
        forgettings,
        lastFailure,
        // The workflow knows at once, the measurement comes every few seconds.
        lag: { ...lag, ms: lagMs, at: iso(nowMs()) },
      };
    },
  );
}
