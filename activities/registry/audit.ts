import type { Json } from '../../core/json.ts';
import type { PoolConnection } from '../../platform/mysql.ts';

/** Who did what, in the transaction that did it. */
export async function audit(connection: PoolConnection, tenantId: string, actor: string, action: string, detail: Json): Promise<void> {
  await connection.query('INSERT INTO modelwright_control.audit (tenant_id, actor, action, detail) VALUES (?, ?, ?, ?)', [
    tenantId,
    actor,
    action,
    JSON.stringify(detail),
  ]);
}
