import type { Pool, RowDataPacket } from '../../platform/mysql.ts';

/** The name of this installation: made once, with its control database. */
export async function installationId(pool: Pool): Promise<string> {
  const [rows] = await pool.query<RowDataPacket[]>('SELECT id FROM modelwright_control.installation');
  const id = rows[0]?.['id'] as string | undefined;
  if (id === undefined)
    throw new Error('modelwright_control.installation is empty: restore the control database, or insert a row with a UUID');
  return id;
}
