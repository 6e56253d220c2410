import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import type { LiveObject, LiveObjects, Owner } from './live-objects.ts';

type KeyRow = RowDataPacket & { object_key: string };

/** Tenant of what all tenants share. */
export const sharedTenant = '';

export type Damage = { readonly key: string; readonly sha256: string; readonly what: 'damaged' | 'missing' };

/** Key: object. A repaired one stays on record. */
export async function recordDamage(
  pool: Pool,
  tenantId: string,
  { key, sha256, what }: Damage,
  repairedFrom: string | null,
): Promise<void> {
  await pool.query(
    `INSERT INTO modelwright_control.store_damages (object_key, sha256, tenant_id, what, repaired_at, repaired_from)
     VALUES (?, ?, ?, ?, IF(? IS NULL, NULL, UTC_TIMESTAMP(6)), ?) AS own
     ON DUPLICATE KEY UPDATE what = own.what, found_at = IF(store_damages.repaired_at IS NULL, store_damages.found_at, UTC_TIMESTAMP(6)),
       repaired_at = own.repaired_at, repaired_from = own.repaired_from`,
    [key, sha256, tenantId, what, repairedFrom, repairedFrom],
  );
}

/** Objects that were not whole when they were last looked at. */
export async function openDamages(pool: Pool, tenantIds: readonly string[]): Promise<Set<string>> {
  const [rows] = await pool.query<KeyRow[]>(
    'SELECT object_key FROM modelwright_control.store_damages WHERE repaired_at IS NULL AND tenant_id IN (?)',
    [tenantIds],
  );
  return new Set(rows.map(({ object_key }) => object_key));
}

/** It is whole again, by whatever: a person, a new training, another round. */
export async function closeDamage(pool: Pool, key: string): Promise<void> {
  await pool.query(
    "UPDATE modelwright_control.store_damages SET repaired_at = UTC_TIMESTAMP(6), repaired_from = 'found whole again' WHERE object_key = ? AND repaired_at IS NULL",
    [key],
  );
}

/** Nothing refers to it any more. */
export async function forgetDamages(pool: Pool, keys: readonly string[]): Promise<void> {
  if (keys.length > 0)
    await pool.query('DELETE FROM modelwright_control.store_damages WHERE repaired_at IS NULL AND object_key IN (?)', [keys]);
}

const tables = { version: ['model_versions', 'version'], dataset: ['datasets', 'number'] } as const;

/** Whether something refers to the object still: it may have been removed, with its version, since the list was made. */
export async function isStillLive(pool: Pool, { owners }: LiveObject): Promise<boolean> {
  if (owners.length === 0) return true;
  for (const { what, tenantId, customizationId, number } of owners) {
    const [table, column] = tables[what];
    const [rows] = await pool.query<RowDataPacket[]>(
      `SELECT 1 FROM modelwright_control.${table} WHERE tenant_id = ? AND customization_id = ? AND ${column} = ? AND removed_at IS NULL`,
      [tenantId, customizationId, number],
    );
    if (rows.length > 0) return true;
  }
  return false;
}

/** Writes to every version and dataset of a tenant whether something that it refers to is not whole; returns those that are. Key: tenant. */
export async function markOwners(pool: Pool, tenantId: string, { objects }: LiveObjects, open: ReadonlySet<string>): Promise<Owner[]> {
  const damaged = new Map<string, { readonly owner: Owner; readonly keys: string[] }>();
  for (const { key, owners } of objects.values()) {
    if (!open.has(key)) continue;
    for (const owner of owners) {
      const id = `${owner.what}/${owner.customizationId}/${owner.number}`;
      const known = damaged.get(id) ?? { owner, keys: [] };
      known.keys.push(key);
      damaged.set(id, known);
    }
  }
  for (const what of ['version', 'dataset'] as const) {
    const [table, column] = tables[what];
    const now = [...damaged.values()].filter(({ owner }) => owner.what === what);
    const [marked] = await pool.query<(RowDataPacket & { customization_id: string; number: number })[]>(
      `SELECT customization_id, ${column} AS number FROM modelwright_control.${table} WHERE tenant_id = ? AND damaged_at IS NOT NULL`,
      [tenantId],
    );
    for (const { customization_id, number } of marked)
      if (!damaged.has(`${what}/${customization_id}/${number}`))
        await pool.query(
          `UPDATE modelwright_control.${table} SET damaged_at = NULL, damage = NULL WHERE tenant_id = ? AND customization_id = ? AND ${column} = ?`,
          [tenantId, customization_id, number],
        );
    for (const { owner, keys } of now)
      await pool.query(
        `UPDATE modelwright_control.${table} SET damaged_at = COALESCE(damaged_at, UTC_TIMESTAMP(6)), damage = ?
         WHERE tenant_id = ? AND customization_id = ? AND ${column} = ?`,
        [wording(keys), tenantId, owner.customizationId, owner.number],
      );
  }
  return [...damaged.values()].map(({ owner }) => owner);
}

const wording = (keys: readonly string[]): string =>
  keys.length === 1
    ? `${keys[0]} does not have the bytes it should have, and there is no copy`
    : `${keys.length} objects do not have the bytes they should have, and there is no copy: ${keys[0]} and others`;
