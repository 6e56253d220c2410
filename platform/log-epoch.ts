import type { Pool, PoolConnection, RowDataPacket } from './mysql.ts';

/** The epoch of the log that new commits belong to (docs/adr/0005-log-epochs.md); 0 until the first reset. */
export async function currentEpoch(connection: Pick<Pool | PoolConnection, 'query'>): Promise<number> {
  const [rows] = await connection.query<(RowDataPacket & { epoch: number | string })[]>(
    'SELECT COALESCE(MAX(epoch), 0) AS epoch FROM modelwright_control.log_epochs',
  );
  return Number(rows[0]?.epoch ?? 0);
}
