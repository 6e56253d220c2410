import { inEpoch } from '../../core/gtid.ts';
import { failure } from '../failure.ts';
import { currentEpoch } from '../../platform/log-epoch.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';

/** Attempts without a lock before writers are held up for an instant. */
const freeAttempts = 100;
/** Attempts where a lock is not allowed: some seconds, in which commits pause at last. */
const attemptsWithoutLock = 4_000;
/** Longest wait for writers' open transactions, seconds. */
const lockWaitSeconds = 5;

type GtidRow = RowDataPacket & { executed: string };

async function executedGtids(connection: PoolConnection): Promise<string> {
  const [rows] = await connection.query<GtidRow[]>('SELECT @@global.gtid_executed AS executed');
  return (rows[0]?.executed ?? '').replaceAll(/\s/g, '');
}

async function commitsUnderWay(connection: PoolConnection): Promise<boolean> {
  const [rows] = await connection.query<(RowDataPacket & { owned: string })[]>('SELECT @@global.gtid_owned AS owned');
  return rows[0]?.owned !== '';
}

const begin = 'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY';

/**
 * Reads at one instant whose GTID set is known. No commit between the two readings of the set means that the snapshot is exactly that set;
 * on a busy server a lock on the table (its quoted name) makes it so.
 */
export async function atSnapshot<T>(pool: Pool, table: string, work: (connection: PoolConnection, cut: string) => Promise<T>): Promise<T> {
  const connection = await pool.getConnection();
  try {
    await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    const result = await work(connection, await openSnapshot(pool, connection, table));
    await connection.query('COMMIT');
    connection.release();
    return result;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** Opens a snapshot between two equal readings of the set; null where commits came too thick for it. */
async function betweenCommits(connection: PoolConnection, epoch: number, attempts: number): Promise<string | null> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const before = await executedGtids(connection);
    await connection.query(begin);
    // A commit is visible an instant before its GTID is in the set; until then the set of those that are under way has it.
    if (!(await commitsUnderWay(connection)) && (await executedGtids(connection)) === before) return inEpoch(before, epoch);
    await connection.query('ROLLBACK');
  }
  return null;
}

async function openSnapshot(pool: Pool, connection: PoolConnection, table: string): Promise<string> {
  // Before the set: a set that bears an epoch was read after the reset that began it.
  const epoch = await currentEpoch(connection);
  const free = await betweenCommits(connection, epoch, freeAttempts);
  if (free !== null) return free;
  const locker = await pool.getConnection();
  try {
    await locker.query(`SET SESSION lock_wait_timeout = ${lockWaitSeconds}`);
    if (await lock(locker, table)) {
      const cut = await executedGtids(connection);
      await connection.query(begin);
      await locker.query('UNLOCK TABLES');
      return inEpoch(cut, epoch);
    }
  } finally {
    // Its session settings are its own: it does not go back to the pool.
    locker.destroy();
  }
  const lucky = await betweenCommits(connection, epoch, attemptsWithoutLock);
  if (lucky !== null) return lucky;
  throw failure(
    'Unavailable',
    `the server is too busy to read ${table} at a known instant without a lock: tried again; \`GRANT LOCK TABLES\` on its database to our MySQL user makes it certain`,
  );
}

/** False where our user may not. */
async function lock(locker: PoolConnection, table: string): Promise<boolean> {
  try {
    await locker.query(`LOCK TABLES ${table} READ`);
    return true;
  } catch (error) {
    if (/^ER_(DB|TABLE)ACCESS_DENIED_ERROR$/.test((error as { code?: string }).code ?? '')) return false;
    throw error;
  }
}
