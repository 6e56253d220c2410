import type { CustomizationKey } from '../../core/ids.ts';
import type { VerificationResult } from '../../core/verification.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';

/** Results that are kept of one customization: enough to see when something began. */
const keptResults = 200;

/** Notes a result; the oldest beyond the limit go. Key: customization and time. */
export async function recordVerification(pool: Pool, result: VerificationResult): Promise<void> {
  const key = [result.tenantId, result.customizationId];
  await pool.query(
    `INSERT INTO modelwright_control.verifications (tenant_id, customization_id, verified_at, cut, ok, result) VALUES (?, ?, ?, ?, ?, ?) AS new
     ON DUPLICATE KEY UPDATE result = new.result, ok = new.ok, cut = new.cut`,
    [...key, new Date(result.verifiedAt), result.table.cut, result.ok, JSON.stringify(result)],
  );
  const [oldest] = await pool.query<(RowDataPacket & { verified_at: Date })[]>(
    `SELECT verified_at FROM modelwright_control.verifications WHERE tenant_id = ? AND customization_id = ?
     ORDER BY verified_at DESC LIMIT 1 OFFSET ${keptResults}`,
    key,
  );
  if (oldest[0])
    await pool.query('DELETE FROM modelwright_control.verifications WHERE tenant_id = ? AND customization_id = ? AND verified_at <= ?', [
      ...key,
      oldest[0].verified_at,
    ]);
}

/** Why training waits for a person's word about a change of structure; null if it does not. */
export async function schemaHeldBy(pool: Pool, key: CustomizationKey): Promise<string | null> {
  const [rows] = await pool.query<(RowDataPacket & { reason: string })[]>(
    `SELECT reason FROM modelwright_control.schema_changes
     WHERE tenant_id = ? AND customization_id = ? AND effect = 'held' AND decision IS NULL ORDER BY happened_at DESC LIMIT 1`,
    [key.tenantId, key.customizationId],
  );
  return rows[0]?.reason ?? null;
}

/** Customizations after the given one, in the order of their keys. */
export async function listCustomizations(pool: Pool, after: CustomizationKey | null, limit: number): Promise<CustomizationKey[]> {
  const [rows] = await pool.query<(RowDataPacket & { tenant_id: string; customization_id: string })[]>(
    `SELECT tenant_id, customization_id FROM modelwright.customizations
     WHERE (tenant_id, customization_id) > (?, ?) ORDER BY tenant_id, customization_id LIMIT ?`,
    [after?.tenantId ?? '', after?.customizationId ?? '', limit],
  );
  return rows.map((row) => ({ tenantId: row.tenant_id, customizationId: row.customization_id }));
}
