import type { Pool, PoolConnection, RowDataPacket } from '../../platform/mysql.ts';

/** Rows `from` to `to` of a tenant's customization `c`, in one statement. */
export async function insertExamples(on: Pool | PoolConnection, tenantId: string, from: number, to: number): Promise<void> {
  const rows = Array.from({ length: to - from }, (_, i) => [tenantId, 'c', `e${from + i}`, '{"text":"a text","label":"a"}']);
  await on.query('INSERT INTO modelwright.examples (tenant_id, customization_id, example_id, content) VALUES ?', [rows]);
}

/** What the table says: rows and buckets of every tenant. */
export async function examplesByTenant(pool: Pool): Promise<Map<string, { readonly rows: number; readonly buckets: readonly number[] }>> {
  const [rows] = await pool.query<RowDataPacket[]>(
    'SELECT tenant_id, bucket, COUNT(*) AS n FROM modelwright.examples GROUP BY 1, 2 ORDER BY 1, 2',
  );
  const found = new Map<string, { rows: number; buckets: number[] }>();
  for (const { tenant_id: tenantId, bucket, n } of rows) {
    const tenant = found.get(String(tenantId)) ?? { rows: 0, buckets: [] };
    tenant.rows += Number(n);
    tenant.buckets.push(Number(bucket));
    found.set(String(tenantId), tenant);
  }
  return found;
}

/** Inserted rows by tenant, as the change consumer has recorded them. */
export async function sensedByTenant(pool: Pool): Promise<Map<string, number>> {
  const [rows] = await pool.query<RowDataPacket[]>(
    'SELECT tenant_id, SUM(inserted) AS n FROM modelwright_control.sensed_commits GROUP BY 1',
  );
  return new Map(rows.map(({ tenant_id: tenantId, n }) => [String(tenantId), Number(n)]));
}
