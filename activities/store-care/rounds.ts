import { keptRemovalDays } from '../../core/forgetting.ts';
import type { GcReport, ScrubReport, ScrubShare } from '../../core/store-care.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';

export type RoundKind = 'gc' | 'gc-dry-run' | 'scrub';
type ShareRow = RowDataPacket & { share_index: number | null; share_of: number | null };

const keptDays = 90;

/** Puts a round on record. A scrub by schedule gets the share that comes after the last one that was read to its end. Key: round. */
export async function beginRound(
  pool: Pool,
  {
    roundId,
    kind,
    shares,
  }: { readonly roundId: string; readonly kind: RoundKind; /** Null: everything. */ readonly shares: number | null },
): Promise<{ readonly share: ScrubShare | null }> {
  const [last] = await pool.query<ShareRow[]>(
    `SELECT share_index, share_of FROM modelwright_control.store_rounds
     WHERE kind = 'scrub' AND ended_at IS NOT NULL AND share_of = ? ORDER BY ended_at DESC LIMIT 1`,
    [shares ?? 0],
  );
  const next = shares === null ? null : ((last[0]?.share_index ?? -1) + 1) % shares;
  await pool.query('INSERT IGNORE INTO modelwright_control.store_rounds (round_id, kind, share_index, share_of) VALUES (?, ?, ?, ?)', [
    roundId,
    kind,
    next,
    shares,
  ]);
  const [rows] = await pool.query<ShareRow[]>('SELECT share_index, share_of FROM modelwright_control.store_rounds WHERE round_id = ?', [
    roundId,
  ]);
  const { share_index: index = null, share_of: of = null } = rows[0] ?? {};
  return { share: index === null || of === null ? null : { index, of } };
}

/** Key: round. */
export async function endRound(
  pool: Pool,
  { roundId, report }: { readonly roundId: string; readonly report: GcReport | ScrubReport },
): Promise<void> {
  await pool.query(
    'UPDATE modelwright_control.store_rounds SET ended_at = COALESCE(ended_at, UTC_TIMESTAMP(6)), report = ? WHERE round_id = ?',
    [JSON.stringify(report), roundId],
  );
  await pool.query(`DELETE FROM modelwright_control.store_rounds WHERE started_at < UTC_TIMESTAMP(6) - INTERVAL ${keptDays} DAY`);
  await pruneForgottenObjects(pool);
}

/** Objects that forgettings removed long ago. Of one that is not done they stay: its certificate counts them. */
async function pruneForgottenObjects(pool: Pool): Promise<void> {
  await pool.query(
    `DELETE FROM modelwright_control.forgotten_objects AS o WHERE o.removed_at < UTC_TIMESTAMP(6) - INTERVAL ${keptRemovalDays} DAY
       AND NOT EXISTS (SELECT 1 FROM modelwright_control.forgettings f WHERE f.tenant_id = o.tenant_id
         AND f.customization_id = o.customization_id AND f.number = o.number AND f.ended_at IS NULL)`,
  );
}
