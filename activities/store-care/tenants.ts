import type { Pool, RowDataPacket } from '../../platform/mysql.ts';

type TenantRow = RowDataPacket & { tenant_id: string };
type CustomizationRow = RowDataPacket & { customization_id: string };

/** Tenants that have or had anything, deleted ones among them, in the order of their ids. */
export async function listTenants(pool: Pool, after: string, limit: number): Promise<string[]> {
  const [rows] = await pool.query<TenantRow[]>(
    `SELECT tenant_id FROM modelwright_control.tenants WHERE tenant_id > ?
     UNION SELECT DISTINCT tenant_id FROM modelwright_control.runs WHERE tenant_id > ?
     UNION SELECT DISTINCT tenant_id FROM modelwright_control.model_versions WHERE tenant_id > ?
     UNION SELECT DISTINCT tenant_id FROM modelwright_control.datasets WHERE tenant_id > ?
     ORDER BY tenant_id LIMIT ?`,
    [after, after, after, after, limit],
  );
  return rows.map(({ tenant_id }) => tenant_id);
}

/** All of them, page by page. */
export async function* everyTenant(pool: Pool): AsyncIterable<string> {
  const pageSize = 500;
  for (let after = ''; ;) {
    const page = await listTenants(pool, after, pageSize);
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last;
  }
}

/** Customizations that the registry knows of, deleted ones among them. */
export async function customizationsOf(pool: Pool, tenantId: string): Promise<string[]> {
  const [rows] = await pool.query<CustomizationRow[]>(
    `SELECT customization_id FROM modelwright.customizations WHERE tenant_id = ?
     UNION SELECT DISTINCT customization_id FROM modelwright_control.runs WHERE tenant_id = ?
     UNION SELECT DISTINCT customization_id FROM modelwright_control.model_versions WHERE tenant_id = ?
     UNION SELECT DISTINCT customization_id FROM modelwright_control.datasets WHERE tenant_id = ?
     ORDER BY customization_id`,
    [tenantId, tenantId, tenantId, tenantId],
  );
  return rows.map(({ customization_id }) => customization_id);
}
