import { isContention, isUnavailable, type Pool, type PoolConnection } from '../../platform/mysql.ts';
import { failure } from '../failure.ts';

/** Runs statements; a database that is away, or busy with another transaction, is a reason to try again and nothing else. */
export async function withDatabase<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isUnavailable(error)) throw failure('Unavailable', 'MySQL does not answer: see `mw status`', error);
    if (isContention(error)) throw failure('Unavailable', 'another transaction holds the rows: tried again', error);
    throw error;
  }
}

/** Two that lock the same gap end in a deadlock now and then: one of them wins each time. */
const contentionAttempts = 5;

/** One transaction: committed when `work` ends well, rolled back otherwise. `work` is repeated after a deadlock: it only runs statements. */
export const inTransaction = <T>(pool: Pool, work: (connection: PoolConnection) => Promise<T>): Promise<T> =>
  withDatabase(async () => {
    for (let attempt = 1; ; attempt++) {
      const connection = await pool.getConnection();
      try {
        await connection.beginTransaction();
        const result = await work(connection);
        await connection.commit();
        connection.release();
        return result;
      } catch (error) {
        // Whatever state it is in, nobody else gets this connection.
        connection.destroy();
        if (!isContention(error) || attempt >= contentionAttempts) throw error;
      }
    }
  });

/** Seconds without a statement after which MySQL gives up a transaction that others wait for. */
const silenceSeconds = 30;

/**
 * A transaction whose locks stand in others' way: if this process is stopped in it and does not die, MySQL rolls it back after `seconds`. Its
 * commit then fails, and nothing of it has happened.
 */
export const inWatchedTransaction = <T>(
  pool: Pool,
  work: (connection: PoolConnection) => Promise<T>,
  seconds: number = silenceSeconds,
): Promise<T> =>
  inTransaction(pool, async (connection) => {
    await connection.query('SET SESSION wait_timeout = ?', [seconds]);
    const result = await work(connection);
    // The connection goes back to the pool, where it may be idle for longer.
    await connection.query('SET SESSION wait_timeout = DEFAULT');
    return result;
  });
