import type { Pool, RowDataPacket } from '../../platform/mysql.ts';

/** Shown with what is wrong in the sensing: by `mw status`, `mw doctor` and `GET /v1/sensing`. */
const code = 'stored_object_damaged';
const remedy =
  'put the object back from a backup of the bucket, or, for what all tenants share, install the base model again; or train a new version ' +
  '(`./mw retrain`); then run `./mw store scrub`';
const healed = 'everything was found whole again';

/** Opens, changes or ends the one condition of a tenant, or of what all share. Key: subject. */
export async function showDamage(pool: Pool, subject: string, detail: string | null): Promise<void> {
  const [open] = await pool.query<(RowDataPacket & { condition_id: string })[]>(
    "SELECT condition_id FROM modelwright_control.sensing_conditions WHERE state <> 'healed' AND code = ? AND subject = ?",
    [code, subject],
  );
  if (detail === null) {
    if (open.length > 0)
      await pool.query(
        `UPDATE modelwright_control.sensing_conditions SET state = 'healed', action = ?, ended_at = UTC_TIMESTAMP(6)
         WHERE state <> 'healed' AND code = ? AND subject = ?`,
        [healed, code, subject],
      );
  } else if (open[0])
    await pool.query('UPDATE modelwright_control.sensing_conditions SET detail = ? WHERE condition_id = ?', [detail, open[0].condition_id]);
  else
    await pool.query(
      "INSERT INTO modelwright_control.sensing_conditions (code, subject, detail, remedy, state) VALUES (?, ?, ?, ?, 'open')",
      [code, subject, detail, remedy],
    );
}
