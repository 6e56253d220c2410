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
