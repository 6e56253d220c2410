import type { Catalog } from '../../catalog/catalog.ts';
import type { CustomizationState } from '../../core/customization.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { failure } from '../failure.ts';
import type { ControlActivities } from '../ports.ts';
import { audit } from './audit.ts';
import { inTransaction, withDatabase } from './database.ts';
import { decideSchema } from './decide-schema.ts';
import { loadGpuUse, loadQuotas } from './gpu-use.ts';
import { loadCustomizations } from './load-customizations.ts';
import { promoteModel, rollbackModel } from './promotions.ts';
import { loadRun, openRun, raiseAttempt, recordRun } from './runs.ts';

/** Activities of the task queue `orchestrator`: short statements against MySQL. */
export const createControlActivities = ({ pool, catalog }: { readonly pool: Pool; readonly catalog: Catalog }): ControlActivities => ({
  loadTenant: async ({ tenantId }) => ({
    customizations: await loadCustomizations(pool, tenantId, null),
    quotas: await loadQuotas(pool, tenantId),
    gpuUse: await loadGpuUse(pool, tenantId),
  }),
  loadCustomization: async ({ tenantId, customizationId }) => (await loadCustomizations(pool, tenantId, customizationId))[0] ?? null,
  loadRun: (input) => loadRun(pool, input),
  setCustomizationState: (input) => setCustomizationState(pool, input),
  openRun: (input) => openRun(pool, input),
  recordDecision: (input) => recordDecision(pool, input),
  recordRun: (input) => recordRun(pool, input),
  raiseAttempt: (input) => raiseAttempt(pool, input),
  promoteModel: (input) => promoteModel(pool, input),
  decideSchema: (input) => decideSchema(pool, catalog, input),
  rollbackModel: (input) => rollbackModel(pool, input),
});

const recordDecision = (pool: Pool, input: Parameters<ControlActivities['recordDecision']>[0]): Promise<void> =>
  withDatabase(async () => {
    const { tenantId, customizationId, decisionKey, kind, reason, cut } = input;
    await pool.query(
      `INSERT INTO modelwright_control.decisions (tenant_id, customization_id, decision_key, kind, reason, cut)
       VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE decision_key = decision_key`,
      [tenantId, customizationId, decisionKey, kind, reason, cut],
    );
  });

const setCustomizationState = (
  pool: Pool,
  input: CustomizationKey & { readonly state: CustomizationState; readonly actor: string; readonly reason: string | null },
): Promise<void> =>
  inTransaction(pool, async (connection) => {
    const { tenantId, customizationId, state, actor, reason } = input;
    const [rows] = await connection.query<RowDataPacket[]>(
      'SELECT state FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ? FOR UPDATE',
      [tenantId, customizationId],
    );
    if (!rows[0]) throw failure('CustomizationGone', `tenant ${tenantId} has no customization ${customizationId}`);
    if (rows[0]['state'] === state) return;
    await connection.query(
      'UPDATE modelwright.customizations SET state = ?, updated_at = UTC_TIMESTAMP(6) WHERE tenant_id = ? AND customization_id = ?',
      [state, tenantId, customizationId],
    );
    await audit(connection, tenantId, actor, state === 'paused' ? 'customization.pause' : 'customization.resume', {
      customizationId,
      reason,
    });
  });
