import type { ForgettingCertificate, ForgettingKey, ForgettingState } from '../../core/forgetting.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import type { Needle } from '../../store/raw-search.ts';
import { failure } from '../failure.ts';

/** `unread`: it cannot be read now, and is taken to hold one. */
export type Holds = boolean | 'unread';

/** A request to forget as the control database has it. */
export type Forgetting = {
  readonly state: ForgettingState;
  readonly exampleIds: readonly string[];
  readonly salt: string;
  readonly needles: readonly Needle[];
  /** By number of the dataset: whether it holds one of the rows. */
  readonly datasets: Readonly<Record<string, Holds>>;
  readonly withdrawn: { readonly versions: readonly number[]; readonly datasets: readonly number[] };
  readonly reason: string | null;
  readonly askedBy: string;
  readonly askedAt: Date;
  readonly deadlineAt: Date;
  readonly deadlinePassed: boolean;
  readonly certificate: ForgettingCertificate | null;
};

type ForgettingRow = RowDataPacket & {
  state: ForgettingState;
  example_ids: string[] | null;
  salt: string;
  needles: Needle[] | null;
  datasets: Record<string, Holds>;
  withdrawn: Forgetting['withdrawn'];
  reason: string | null;
  asked_by: string;
  asked_at: Date;
  deadline_at: Date;
  passed: number | string;
  certificate: ForgettingCertificate | null;
};

export const ofForgetting = 'tenant_id = ? AND customization_id = ? AND number = ?';
export const idOf = ({ tenantId, customizationId, number }: ForgettingKey): [string, string, number] => [tenantId, customizationId, number];

export async function loadForgetting(connection: Pool | PoolConnection, key: ForgettingKey, lock = ''): Promise<Forgetting> {
  const [rows] = await connection.query<ForgettingRow[]>(
    `SELECT *, deadline_at <= UTC_TIMESTAMP(6) AS passed FROM modelwright_control.forgettings WHERE ${ofForgetting} ${lock}`,
    idOf(key),
  );
  const row = rows[0];
  if (!row) throw failure('CustomizationGone', `there is no forgetting ${key.number} of ${key.customizationId}`);
  return {
    state: row.state,
    exampleIds: row.example_ids ?? [],
    salt: row.salt,
    needles: row.needles ?? [],
    datasets: row.datasets,
    withdrawn: row.withdrawn,
    reason: row.reason,
    askedBy: row.asked_by,
    askedAt: row.asked_at,
    deadlineAt: row.deadline_at,
    deadlinePassed: Number(row.passed) === 1,
    certificate: row.certificate,
  };
}

/** Says where it stands. One that is done stays so. */
export async function noteState(pool: Pool, key: ForgettingKey, state: ForgettingState, waitsFor: readonly string[]): Promise<void> {
  await pool.query(`UPDATE modelwright_control.forgettings SET state = ?, waits_for = ? WHERE ${ofForgetting} AND ended_at IS NULL`, [
    state,
    JSON.stringify(waitsFor),
    ...idOf(key),
  ]);
}

/** Those that are not done, of all tenants, oldest first after the given one. */
export async function unendedForgettings(pool: Pool, after: ForgettingKey | null, limit: number): Promise<ForgettingKey[]> {
  const [rows] = await pool.query<(RowDataPacket & { tenant_id: string; customization_id: string; number: number })[]>(
    `SELECT tenant_id, customization_id, number FROM modelwright_control.forgettings
     WHERE ended_at IS NULL AND (tenant_id, customization_id, number) > (?, ?, ?) ORDER BY tenant_id, customization_id, number LIMIT ?`,
    [...(after ? idOf(after) : ['', '', 0]), limit],
  );
  return rows.map(({ tenant_id: tenantId, customization_id: customizationId, number }) => ({ tenantId, customizationId, number }));
}
