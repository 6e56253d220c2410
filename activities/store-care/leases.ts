import type { RunKey } from '../../core/ids.ts';
import { endedRunStates } from '../../core/run.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { randomUUID } from '../../platform/clock.ts';
import { failure } from '../failure.ts';

/**
 * A run that finds an object in the store already takes it over, and a garbage collector that saw nothing refer to it would remove it a moment later.
 * So each raises its flag before it looks at the other's: a run takes a lease of the scope before it looks what is there, a collector begins a sweep of
 * the scope before it looks for leases. Whoever comes second sees the other: a run waits until the sweep is over, a collector leaves the scope for its
 * next round. A lease is over with its run, or when its objects are registered.
 */
export const baseScope = 'base';
export const modelsScope = (tenantId: string): string => `models/${tenantId}`;
export const datasetsScope = (tenantId: string, customizationId: string): string => `datasets/${tenantId}/${customizationId}`;
export const gatesScope = (tenantId: string, customizationId: string): string => `gates/${tenantId}/${customizationId}`;

/** A sweep is extended before each request that removes something; one whose collector died is over after this. */
const sweepSeconds = 300;

type ScopeRow = RowDataPacket & { scope: string };

/** Lets the run take over what is there in these scopes. Key: run + scope. Fails with Unavailable while something is removed there. */
export async function takeLease(pool: Pool, { tenantId, customizationId, run }: RunKey, scopes: readonly string[]): Promise<void> {
  await pool.query(
    `INSERT INTO modelwright_control.store_leases (tenant_id, customization_id, run_number, scope) VALUES ?
     ON DUPLICATE KEY UPDATE taken_at = UTC_TIMESTAMP(6)`,
    [scopes.map((scope) => [tenantId, customizationId, run, scope])],
  );
  const [swept] = await pool.query<ScopeRow[]>(
    'SELECT scope FROM modelwright_control.store_sweeps WHERE scope IN (?) AND expires_at > UTC_TIMESTAMP(6)',
    [scopes],
  );
  if (swept[0]) throw failure('Unavailable', `garbage is being removed from the store (${swept[0].scope}): tried again in a moment`);
}

/** What the run took over is registered, or not needed. Key: run + scope. */
export async function releaseLease(
  pool: Pool | PoolConnection,
  { tenantId, customizationId, run }: RunKey,
  scopes: readonly string[],
): Promise<void> {
  await pool.query(
    'DELETE FROM modelwright_control.store_leases WHERE tenant_id = ? AND customization_id = ? AND run_number = ? AND scope IN (?)',
    [tenantId, customizationId, run, scopes],
  );
}

/** Those of the scopes in which a run that has not ended may take something over. */
export async function leasedScopes(pool: Pool, scopes: readonly string[]): Promise<Set<string>> {
  const [rows] = await pool.query<ScopeRow[]>(
    `SELECT DISTINCT l.scope FROM modelwright_control.store_leases l
     JOIN modelwright_control.runs r ON r.tenant_id = l.tenant_id AND r.customization_id = l.customization_id AND r.number = l.run_number
     WHERE l.scope IN (?) AND r.state NOT IN (?)`,
    [scopes, endedRunStates],
  );
  return new Set(rows.map(({ scope }) => scope));
}

/** Leases of runs that have ended. */
export async function dropVoidLeases(pool: Pool): Promise<void> {
  await pool.query(
    `DELETE FROM modelwright_control.store_leases AS l WHERE EXISTS (
       SELECT 1 FROM modelwright_control.runs r
       WHERE r.tenant_id = l.tenant_id AND r.customization_id = l.customization_id AND r.number = l.run_number AND r.state IN (?))`,
    [endedRunStates],
  );
}

/** Begins to sweep; returns the scopes that nobody else sweeps. Key: round + scope. */
export async function beginSweeps(pool: Pool, roundId: string, scopes: readonly string[]): Promise<Set<string>> {
  for (const scope of scopes)
    await pool.query(
      `INSERT INTO modelwright_control.store_sweeps (scope, round_id, expires_at)
       VALUES (?, ?, UTC_TIMESTAMP(6) + INTERVAL ${sweepSeconds} SECOND) AS own
       ON DUPLICATE KEY UPDATE
         round_id = IF(store_sweeps.expires_at <= UTC_TIMESTAMP(6), own.round_id, store_sweeps.round_id),
         expires_at = IF(store_sweeps.round_id = own.round_id, own.expires_at, store_sweeps.expires_at)`,
      [scope, roundId],
    );
  const [rows] = await pool.query<ScopeRow[]>('SELECT scope FROM modelwright_control.store_sweeps WHERE scope IN (?) AND round_id = ?', [
    scopes,
    roundId,
  ]);
  return new Set(rows.map(({ scope }) => scope));
}

/** Before something is removed: the sweeps are still ours, and stay so while it is. Fails with Unavailable where one is not. */
export async function extendSweeps(pool: Pool, roundId: string, scopes: readonly string[]): Promise<void> {
  if (scopes.length === 0) return;
  const [result] = await pool.query(
    `UPDATE modelwright_control.store_sweeps SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ${sweepSeconds} SECOND
     WHERE scope IN (?) AND round_id = ? AND expires_at > UTC_TIMESTAMP(6)`,
    [scopes, roundId],
  );
  if ((result as { affectedRows: number }).affectedRows !== scopes.length)
    throw failure('Unavailable', 'the sweep took too long and was given up: it is begun again');
}

/** The row of the base scope stays, for its mark. */
export async function endSweeps(pool: Pool, roundId: string, scopes: readonly string[]): Promise<void> {
  if (scopes.includes(baseScope))
    await pool.query('UPDATE modelwright_control.store_sweeps SET expires_at = UTC_TIMESTAMP(6) WHERE round_id = ? AND scope = ?', [
      roundId,
      baseScope,
    ]);
  const others = scopes.filter((scope) => scope !== baseScope);
  if (others.length > 0)
    await pool.query('DELETE FROM modelwright_control.store_sweeps WHERE round_id = ? AND scope IN (?)', [roundId, others]);
}

/**
 * Another one whenever a collector has begun to sweep the base scope, or is about to remove something there: what was seen to be there is there still as long
 * as the mark is the same, for whoever holds a lease of the scope and has read the mark under it.
 */
export async function sweepMark(pool: Pool): Promise<string> {
  const found = await lastSweep(pool);
  if (found !== null) return found;
  // The first one; or a release that deletes the row has swept: it comes back with another time.
  await pool.query("INSERT IGNORE INTO modelwright_control.store_sweeps (scope, round_id, expires_at) VALUES (?, '', UTC_TIMESTAMP(6))", [
    baseScope,
  ]);
  // Where it is gone again already, nothing equals the mark.
  return (await lastSweep(pool)) ?? randomUUID();
}

async function lastSweep(pool: Pool): Promise<string | null> {
  const [rows] = await pool.query<(RowDataPacket & { round_id: string; until: string })[]>(
    'SELECT round_id, CAST(expires_at AS CHAR) AS until FROM modelwright_control.store_sweeps WHERE scope = ?',
    [baseScope],
  );
  return rows[0] ? `${rows[0].round_id} ${rows[0].until}` : null;
}
