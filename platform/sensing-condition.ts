import type { Pool, RowDataPacket } from './mysql.ts';

type Named = { readonly code: string; readonly subject: string };

/** Opens the one condition of this code and subject, or changes what it says; several processes may find it at once. Key: code, subject. */
export async function openCondition(
  pool: Pool,
  { code, subject, detail, remedy }: Named & { readonly detail: string; readonly remedy: string },
): Promise<void> {
  const [open] = await pool.query<(RowDataPacket & { condition_id: string })[]>(
    "SELECT condition_id FROM modelwright_control.sensing_conditions WHERE state <> 'healed' AND code = ? AND subject = ?",
    [code, subject],
  );
  if (open[0])
    await pool.query('UPDATE modelwright_control.sensing_conditions SET detail = ? WHERE condition_id = ?', [detail, open[0].condition_id]);
  else
    await pool.query(
      `INSERT INTO modelwright_control.sensing_conditions (code, subject, detail, remedy, state) VALUES (?, ?, ?, ?, 'open') AS own
       ON DUPLICATE KEY UPDATE detail = own.detail`,
      [code, subject, detail, remedy],
    );
}

/** Ends it, if it is open. `action`: what was done about it. Key: code, subject. */
export async function endCondition(pool: Pool, { code, subject, action }: Named & { readonly action: string }): Promise<void> {
  await pool.query(
    `UPDATE modelwright_control.sensing_conditions SET state = 'healed', action = ?, ended_at = UTC_TIMESTAMP(6)
     WHERE state <> 'healed' AND code = ? AND subject = ?`,
    [action, code, subject],
  );
}
