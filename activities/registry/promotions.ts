import type { CustomizationKey } from '../../core/ids.ts';
import { versionName } from '../../core/ids.ts';
import type { GateVerdict } from '../../core/model.ts';
import type { AliasesAfter } from '../../core/tenant-messages.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { failure } from '../failure.ts';
import type { ControlActivities } from '../ports.ts';
import { audit } from './audit.ts';
import { inWatchedTransaction } from './database.ts';

type AliasRow = RowDataPacket & { alias: string; version: number };
type VersionRow = RowDataPacket & { verdict: GateVerdict; withdrawn_at: Date | null; removed_at: Date | null; damage: string | null };
type AttemptRow = RowDataPacket & { attempt: number };

const scope = 'tenant_id = ? AND customization_id = ?';

/** Aliases as they are; the lock makes promotions and rollbacks of a customization wait for each other. */
async function lockAliases(connection: PoolConnection, key: readonly [string, string]): Promise<AliasesAfter> {
  // Rows that may not exist yet cannot be locked one by one: the customization's runs stand for them.
  await connection.query(`SELECT number FROM modelwright_control.runs WHERE ${scope} ORDER BY number LIMIT 1 FOR UPDATE`, [...key]);
  const [rows] = await connection.query<AliasRow[]>(
    `SELECT alias, version FROM modelwright_control.aliases WHERE ${scope} AND alias IN ('production', 'previous') FOR UPDATE`,
    [...key],
  );
  const of = (alias: string): number | null => rows.find((row) => row.alias === alias)?.version ?? null;
  return { production: of('production'), previous: of('previous') };
}

/** Whether the request has been carried out; what others have done since is not undone by asking again. */
async function isDone(connection: PoolConnection, key: readonly [string, string], requestKey: string): Promise<boolean> {
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT 1 FROM modelwright_control.promotions WHERE ${scope} AND request_key = ?`,
    [...key, requestKey],
  );
  return rows.length > 0;
}

const record = async (
  connection: PoolConnection,
  key: readonly [string, string],
  requestKey: string,
  { production, previous }: { readonly production: number; readonly previous: number | null },
): Promise<unknown> =>
  await connection.query(
    'INSERT INTO modelwright_control.promotions (tenant_id, customization_id, request_key, version, previous) VALUES (?, ?, ?, ?, ?)',
    [...key, requestKey, production, previous],
  );

async function point(
  connection: PoolConnection,
  key: readonly [string, string],
  requestKey: string,
  to: { production: number; previous: number | null },
) {
  const set =
    'INSERT INTO modelwright_control.aliases (tenant_id, customization_id, alias, version) VALUES (?, ?, ?, ?) AS new ON DUPLICATE KEY UPDATE version = new.version, updated_at = UTC_TIMESTAMP(6)';
  await connection.query(set, [...key, 'production', to.production]);
  if (to.previous !== null) await connection.query(set, [...key, 'previous', to.previous]);
  await connection.query(`DELETE FROM modelwright_control.aliases WHERE ${scope} AND alias = 'candidate' AND version = ?`, [
    ...key,
    to.production,
  ]);
  await record(connection, key, requestKey, to);
}

/** The version, if it can serve; otherwise a failure that says why not. Whoever wants to withdraw it waits until this transaction is over. */
async function servable(connection: PoolConnection, key: readonly [string, string], version: number): Promise<VersionRow> {
  const [rows] = await connection.query<VersionRow[]>(
    `SELECT verdict, withdrawn_at, removed_at, damage FROM modelwright_control.model_versions WHERE ${scope} AND version = ? FOR SHARE`,
    [...key, version],
  );
  const row = rows[0];
  if (!row) throw failure('BadOptions', `customization ${key[1]} has no version ${versionName(version)}`);
  if (row.withdrawn_at) throw failure('BadOptions', `${versionName(version)} was withdrawn: it must not serve again`);
  if (row.removed_at)
    throw failure('BadOptions', `${versionName(version)} was removed from the store, as the retention says: promote another version`);
  if (row.damage) throw failure('BadOptions', `${versionName(version)} is damaged (${row.damage}): it must not serve until it is mended`);
  return row;
}

/** One pointer swap, recorded. Key: requestKey. */
export const promoteModel = (pool: Pool, input: Parameters<ControlActivities['promoteModel']>[0]): Promise<AliasesAfter> =>
  inWatchedTransaction(pool, async (connection) => {
    const { tenantId, customizationId, requestKey, version, actor, reason, force, fence } = input;
    const key = [tenantId, customizationId] as const;
    const before = await lockAliases(connection, key);
    if (await isDone(connection, key, requestKey)) return before;
    if (fence) {
      const [runs] = await connection.query<AttemptRow[]>(
        `SELECT attempt FROM modelwright_control.runs WHERE ${scope} AND number = ? FOR SHARE`,
        [...key, fence.run],
      );
      const highest = runs[0]?.attempt ?? 0;
      if (highest > fence.attempt)
        throw failure('Fenced', `attempt ${fence.attempt} of run ${fence.run} was replaced by attempt ${highest}: it must not promote`);
      // Of versions that runs promote by themselves, the newest serves, whenever an answer of an older run comes.
      if (before.production !== null && before.production > version)
        throw failure(
          'Fenced',
          `${versionName(before.production)} serves, which is newer: run ${fence.run} must not promote ${versionName(version)}`,
        );
    }
    const { verdict } = await servable(connection, key, version);
    if (verdict.verdict !== 'promote' && !force)
      throw failure(
        'BadOptions',
        `the gate's verdict on ${versionName(version)} is ${verdict.verdict} (${verdict.explanation}): promote it with force`,
      );
    if (before.production === version) {
      // On record all the same: asked again, it must not bring back what somebody has replaced meanwhile.
      await record(connection, key, requestKey, { production: version, previous: before.previous });
      return before;
    }
    const after = { production: version, previous: before.production };
    await point(connection, key, requestKey, after);
    const forced = verdict.verdict !== 'promote';
    await audit(connection, tenantId, actor, forced ? 'model.promote.forced' : 'model.promote', {
      customizationId,
      version,
      previous: before.production,
      reason,
    });
    return after;
  });

/** Production and previous change places. Key: requestKey. */
export const rollbackModel = (
  pool: Pool,
  input: CustomizationKey & { requestKey: string; actor: string; reason: string | null },
): Promise<AliasesAfter> =>
  inWatchedTransaction(pool, async (connection) => {
    const { tenantId, customizationId, requestKey, actor, reason } = input;
    const key = [tenantId, customizationId] as const;
    const before = await lockAliases(connection, key);
    if (await isDone(connection, key, requestKey)) return before;
    if (before.previous === null) throw failure('BadOptions', `customization ${customizationId} has no previous version to roll back to`);
    await servable(connection, key, before.previous);
    const after = { production: before.previous, previous: before.production };
    await point(connection, key, requestKey, after);
    await audit(connection, tenantId, actor, 'model.rollback', {
      customizationId,
      version: after.production,
      previous: after.previous,
      reason,
    });
    return after;
  });
