import { sleep } from '../../platform/clock.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { baseFileKey } from '../../store/keys.ts';
import { inWatchedTransaction } from '../registry/database.ts';
import { baseScope } from '../store-care/leases.ts';

export type PushedFile = { readonly path: string; readonly sha256: string; readonly bytes: number };
export type PushedBase = { readonly name: string; readonly digest: string; readonly files: readonly PushedFile[] };

/** Another base model has the name. */
export class BaseNameTaken extends Error {
  override name = 'BaseNameTaken';
}

/** A push says so often that it goes on, and counts as dead when it has been silent for so long. */
export const renewEveryMs = 30_000;
const silentSeconds = 900;
const pollMs = 1_000;

type BaseRow = RowDataPacket & { name: string; digest: string; files: PushedFile[]; shard_keys: string[]; pushed_at: Date | null };
type NameRow = RowDataPacket & { name: string };

/**
 * Raises a push's flag: from now on no collector removes base objects, and when this returns none is at it. Key: name + digest. A push that died
 * is gone on with, by whichever files. Throws BaseNameTaken where others were pushed under the name.
 */
export async function beginPush(pool: Pool, { name, digest }: Pick<PushedBase, 'name' | 'digest'>): Promise<void> {
  await inWatchedTransaction(pool, async (connection) => {
    const [rows] = await connection.query<BaseRow[]>('SELECT * FROM modelwright_control.base_models WHERE name = ? FOR UPDATE', [name]);
    if (rows[0]?.pushed_at && rows[0].digest !== digest)
      throw new BaseNameTaken(
        `the store has another base model that is called ${name}: choose another --name, or withdraw that one by \`./mw base withdraw ${name}\``,
      );
    await connection.query(
      `INSERT INTO modelwright_control.base_models (name, digest, files, shard_keys) VALUES (?, ?, '[]', '[]') AS own
       ON DUPLICATE KEY UPDATE digest = own.digest, renewed_at = UTC_TIMESTAMP(6)`,
      [name, digest],
    );
  });
  for (;;) {
    const [sweeps] = await pool.query<RowDataPacket[]>(
      'SELECT 1 FROM modelwright_control.store_sweeps WHERE scope = ? AND expires_at > UTC_TIMESTAMP(6)',
      [baseScope],
    );
    if (sweeps.length === 0) return;
    await sleep(pollMs);
  }
}

export const renewPush = async (pool: Pool, { name, digest }: Pick<PushedBase, 'name' | 'digest'>): Promise<void> =>
  void (await pool.query('UPDATE modelwright_control.base_models SET renewed_at = UTC_TIMESTAMP(6) WHERE name = ? AND digest = ?', [
    name,
    digest,
  ]));

/** All of it is in the store. Key: name + digest. False where it was withdrawn, or pushed by other files, meanwhile. */
export async function endPush(pool: Pool, { name, digest, files }: PushedBase, shardKeys: readonly string[]): Promise<boolean> {
  const [result] = await pool.query(
    `UPDATE modelwright_control.base_models SET files = ?, shard_keys = ?, renewed_at = UTC_TIMESTAMP(6), pushed_at = COALESCE(pushed_at, UTC_TIMESTAMP(6))
     WHERE name = ? AND digest = ?`,
    [JSON.stringify(files), JSON.stringify(shardKeys), name, digest],
  );
  return (result as { affectedRows: number }).affectedRows === 1;
}

/** Null where nothing was pushed under the name, or not all of it yet. */
export async function pushedBase(pool: Pool, name: string): Promise<PushedBase | null> {
  const [rows] = await pool.query<BaseRow[]>(
    'SELECT name, digest, files FROM modelwright_control.base_models WHERE name = ? AND pushed_at IS NOT NULL',
    [name],
  );
  return rows[0] ? { name: rows[0].name, digest: rows[0].digest, files: rows[0].files } : null;
}

/** What is pushed, and what is being pushed now. */
export async function pushedObjects(pool: Pool): Promise<{ readonly keys: readonly string[]; readonly underWay: readonly string[] }> {
  const [rows] = await pool.query<BaseRow[]>('SELECT files, shard_keys FROM modelwright_control.base_models WHERE pushed_at IS NOT NULL');
  const [pushing] = await pool.query<NameRow[]>(
    `SELECT name FROM modelwright_control.base_models
     WHERE pushed_at IS NULL AND renewed_at > UTC_TIMESTAMP(6) - INTERVAL ${silentSeconds} SECOND`,
  );
  return {
    keys: rows.flatMap(({ files, shard_keys }) => [...files.map(({ sha256 }) => baseFileKey(sha256)), ...shard_keys]),
    underWay: pushing.map(({ name }) => name),
  };
}

/** Its objects go with the next collection, as far as nothing else refers to them. False where there is none of the name. */
export async function withdrawBase(pool: Pool, name: string): Promise<boolean> {
  const [result] = await pool.query('DELETE FROM modelwright_control.base_models WHERE name = ?', [name]);
  return (result as { affectedRows: number }).affectedRows === 1;
}
