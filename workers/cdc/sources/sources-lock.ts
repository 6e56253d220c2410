import type { Pool, RowDataPacket } from '../../../platform/mysql.ts';

/** Of several change consumers one looks after the connectors of mapped tables at a time, and nobody while one of them is healed. */
const lockName = 'modelwright.sources';

/** Runs `work` while nobody else touches these connectors; false where somebody does for longer than `waitSeconds`. */
export async function aloneWithSources(pool: Pool, waitSeconds: number, work: () => Promise<void>): Promise<boolean> {
  const connection = await pool.getConnection();
  try {
    const [rows] = await connection.query<(RowDataPacket & { got: number | string | null })[]>('SELECT GET_LOCK(?, ?) AS got', [
      lockName,
      waitSeconds,
    ]);
    if (Number(rows[0]?.got) !== 1) return false;
    await work();
    return true;
  } finally {
    // The lock goes with the connection, whatever happened.
    connection.destroy();
  }
}
