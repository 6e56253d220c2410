import type { ForgettingState } from '../core/forgetting.ts';
import type { CustomizationKey } from '../core/ids.ts';
import type { Pool, RowDataPacket } from './mysql.ts';

/** A request to forget that is not done. Times in ISO 8601. */
export type OpenForgetting = CustomizationKey & {
  readonly number: number;
  readonly state: ForgettingState;
  /** Sentences: what it waits for, or why it failed. */
  readonly waitsFor: readonly string[];
  readonly askedAt: string;
  readonly deadlineAt: string;
};

type OpenRow = RowDataPacket & {
  tenant_id: string;
  customization_id: string;
  number: number;
  state: ForgettingState;
  waits_for: string[];
  asked_at: Date;
  deadline_at: Date;
};

/** So many are shown at once. */
export const maxOpenForgettings = 20;

/** Of one customization, or of all tenants: those that a person must help first, then the oldest. */
export async function openForgettings(pool: Pool, of: CustomizationKey | null): Promise<OpenForgetting[]> {
  const [rows] = await pool.query<OpenRow[]>(
    `SELECT tenant_id, customization_id, number, state, waits_for, asked_at, deadline_at FROM modelwright_control.forgettings
     WHERE ended_at IS NULL ${of ? 'AND tenant_id = ? AND customization_id = ?' : ''}
     ORDER BY state <> 'blocked', asked_at, tenant_id, customization_id, number LIMIT ${maxOpenForgettings}`,
    of ? [of.tenantId, of.customizationId] : [],
  );
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    customizationId: row.customization_id,
    number: row.number,
    state: row.state,
    waitsFor: row.waits_for,
    askedAt: row.asked_at.toISOString(),
    deadlineAt: row.deadline_at.toISOString(),
  }));
}
