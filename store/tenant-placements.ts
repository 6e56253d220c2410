import type { Pool, PoolConnection, RowDataPacket } from '../platform/mysql.ts';
import { StoreUnavailable } from './object-store.ts';
import type { Placements } from './placements.ts';

/** This process does not know where a tenant's objects lie, as its settings are not those of the process that placed the tenant. */
export class TenantUnplaced extends StoreUnavailable {
  override name = 'TenantUnplaced';
}

/** `placement`: null for the default. `placed`: something may be stored there, so that it does not change any more. */
export type TenantPlacement = { readonly placement: string | null; readonly bucket: string | null; readonly placed: boolean };

type PlacementRow = RowDataPacket & { placement: string | null; bucket: string | null; placed: string };

const unplaced: TenantPlacement = { placement: null, bucket: null, placed: false };
/** The placement of a `tenants AS tenant` as a column: it outlives the tenant, and has a row of its own. */
export const placementColumn =
  '(SELECT placement FROM modelwright_control.tenant_placements AS placed WHERE placed.tenant_id = tenant.tenant_id) AS placement';
const columns = 'placement, bucket, stored_since IS NOT NULL AS placed';
const fromRow = (row: PlacementRow | undefined): TenantPlacement =>
  row ? { placement: row.placement, bucket: row.bucket, placed: Number(row.placed) === 1 } : unplaced;

export async function readPlacement(pool: Pool | PoolConnection, tenantId: string, lock = ''): Promise<TenantPlacement> {
  const [rows] = await pool.query<PlacementRow[]>(
    `SELECT ${columns} FROM modelwright_control.tenant_placements WHERE tenant_id = ? ${lock}`,
    [tenantId],
  );
  return fromRow(rows[0]);
}

/** Places a tenant, within a transaction. False where something may be stored already, and elsewhere: then nothing has changed. */
export async function placeTenant(
  connection: PoolConnection,
  tenantId: string,
  { placement, bucket }: Omit<TenantPlacement, 'placed'>,
): Promise<boolean> {
  await connection.query('INSERT IGNORE INTO modelwright_control.tenant_placements (tenant_id) VALUES (?)', [tenantId]);
  const now = await readPlacement(connection, tenantId, 'FOR UPDATE');
  if (now.placement === placement && now.bucket === bucket) return true;
  if (now.placed) return false;
  await connection.query('UPDATE modelwright_control.tenant_placements SET placement = ?, bucket = ? WHERE tenant_id = ?', [
    placement,
    bucket,
    tenantId,
  ]);
  return true;
}

/** Where the objects of each tenant lie. A name of the setting, null for the default. Fails with TenantUnplaced. */
export type TenantPlacements = {
  of(tenantId: string): Promise<string | null>;
  /** The same for good, before a byte is stored: whoever would place the tenant elsewhere later is refused. */
  fix(tenantId: string): Promise<string | null>;
};

/** As the database has it. What is fixed is asked for once. */
export function createTenantPlacements(pool: Pool, placements: Placements): TenantPlacements {
  const fixed = new Map<string, Promise<TenantPlacement>>();
  const read = async (tenantId: string): Promise<TenantPlacement> => {
    const found = await readPlacement(pool, tenantId);
    if (found.placed) fixed.set(tenantId, Promise.resolve(found));
    return found;
  };
  const fix = async (tenantId: string): Promise<TenantPlacement> => {
    await pool.query(
      `INSERT INTO modelwright_control.tenant_placements (tenant_id, stored_since) VALUES (?, UTC_TIMESTAMP(6))
       ON DUPLICATE KEY UPDATE stored_since = COALESCE(stored_since, UTC_TIMESTAMP(6))`,
      [tenantId],
    );
    return await readPlacement(pool, tenantId);
  };
  const known = (tenantId: string, { placement, bucket }: TenantPlacement): string | null => {
    const why = misplaced(placements, { placement, bucket });
    if (why !== null) throw new TenantUnplaced(`objects of tenant ${tenantId} ${why}`);
    return placement;
  };
  return {
    of: async (tenantId) => known(tenantId, await (fixed.get(tenantId) ?? read(tenantId))),
    fix: async (tenantId) => {
      let fixing = fixed.get(tenantId);
      if (!fixing) {
        fixing = fix(tenantId);
        fixed.set(tenantId, fixing);
        fixing.catch(() => fixed.delete(tenantId));
      }
      return known(tenantId, await fixing);
    },
  };
}

/** Why these settings do not lead to the objects of whoever was placed so; null where they do. */
function misplaced(placements: Placements, { placement, bucket }: Pick<TenantPlacement, 'placement' | 'bucket'>): string | null {
  if (placement === null) return null;
  const own = placements.get(placement);
  if (!own)
    return `lie by placement ${placement}, which MW_PLACEMENTS of this process does not name: give every process the same file, and keep placements that tenants have`;
  if ((own.bucket ?? null) === bucket) return null;
  const named = (name: string | null | undefined): string => (name ? `bucket ${name}` : 'the bucket of the store');
  return `lie in ${named(bucket)}, but placement ${placement} of MW_PLACEMENTS says ${named(own.bucket)} here: give every process the same file, and give another bucket another name`;
}

type PlacedRow = RowDataPacket & { placement: string; bucket: string | null; tenants: string; one: string };

/** What is wrong with the settings for tenants that have a placement, in sentences. */
export async function placementProblems(pool: Pool, placements: Placements): Promise<string[]> {
  const [rows] = await pool.query<PlacedRow[]>(
    `SELECT placement, bucket, COUNT(*) AS tenants, MIN(tenant_id) AS one FROM modelwright_control.tenant_placements
     WHERE placement IS NOT NULL GROUP BY placement, bucket ORDER BY placement, bucket`,
  );
  return rows.flatMap(({ placement, bucket, tenants, one }) => {
    const why = misplaced(placements, { placement, bucket });
    const more = Number(tenants) > 1 ? ` and ${Number(tenants) - 1} more` : '';
    return why === null ? [] : [`objects of tenant ${one}${more} ${why}`];
  });
}
