import type { FastifyInstance } from 'fastify';
import type { TenantQuotas } from '../../core/quotas.ts';
import type { PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { placeTenant, placementColumn, readPlacement } from '../../store/tenant-placements.ts';
import { issueKey, operatorOnly } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { page, partsOf } from '../paging.ts';
import { Problem } from '../problems.ts';
import { createTenant, pageQuery, patchTenant, tenantParams } from '../schemas.ts';
import { write } from '../write.ts';

type TenantRow = RowDataPacket & { tenant_id: string; name: string; quotas: TenantQuotas; created_at: Date; placement: string | null };

const tags = ['tenants'];
const shown = ({ tenant_id, name, quotas, placement, created_at }: TenantRow) => ({
  id: tenant_id,
  name,
  quotas,
  placement,
  createdAt: created_at.toISOString(),
});
/** The operator's own writes are kept apart from the tenants'. */
const operatorScope = '';
const deleteRows = 5_000;
const tenants = 'modelwright_control.tenants AS tenant';
const columns = `tenant.*, ${placementColumn}`;

/** Says where what the tenant stores is to lie; undefined: as it is. */
async function place(
  { placements }: ApiContext,
  connection: PoolConnection,
  id: string,
  placement: string | null | undefined,
): Promise<void> {
  if (placement === undefined) return;
  const named = placement === null ? null : placements.get(placement);
  if (named === undefined) {
    const message = `there is no placement ${placement} in MW_PLACEMENTS: ${placements.size === 0 ? 'it names none' : `choose one of ${[...placements.keys()].join(', ')}`}, or null for the default`;
    throw new Problem('invalid_request', message, [{ pointer: '/placement', message }]);
  }
  if (!(await placeTenant(connection, id, { placement, bucket: named?.bucket ?? null })))
    throw new Problem(
      'refused',
      `tenant ${id} has stored something already: where it lies stays as it is. A placement is given to a tenant before its first training`,
    );
}

async function findTenant(pool: ApiContext['pool'] | PoolConnection, id: string, lock = ''): Promise<TenantRow> {
  const [rows] = await pool.query<TenantRow[]>(`SELECT ${columns} FROM ${tenants} WHERE tenant_id = ? ${lock}`, [id]);
  if (!rows[0]) throw new Problem('not_found', `there is no tenant ${id}`);
  return rows[0];
}

export function tenantRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool } = context;
  app.addHook('preHandler', async (request) => operatorOnly(request.caller));

  app.post(
    '/v1/tenants',
    { schema: { tags, summary: 'Make a tenant; its key is shown once', body: createTenant } },
    async (request, reply) => {
      const { id, name, quotas, placement } = createTenant.parse(request.body);
      return await write(context, request, reply, operatorScope, async (connection) => {
        const [made] = await connection.query('INSERT IGNORE INTO modelwright_control.tenants (tenant_id, name, quotas) VALUES (?, ?, ?)', [
          id,
          name,
          JSON.stringify(quotas),
        ]);
        if ((made as { affectedRows: number }).affectedRows === 0) throw new Problem('exists', `there is a tenant ${id} already`);
        await place(context, connection, id, placement);
        const { key } = await issueKey(connection, id);
        const { placement: placed } = await readPlacement(connection, id);
        return { status: 201, body: { id, name, quotas, placement: placed, key } };
      });
    },
  );

  app.get('/v1/tenants', { schema: { tags, summary: 'Tenants', querystring: pageQuery } }, async (request) => {
    const { limit, cursor } = pageQuery.parse(request.query);
    const [rows] = await pool.query<TenantRow[]>(`SELECT ${columns} FROM ${tenants} WHERE tenant_id > ? ORDER BY tenant_id LIMIT ?`, [
      partsOf(cursor, 1)?.[0] ?? '',
      limit + 1,
    ]);
    return page(rows, limit, shown, (row) => [row.tenant_id]);
  });

  app.get('/v1/tenants/:tenant', { schema: { tags, summary: 'One tenant', params: tenantParams } }, async (request) =>
    shown(await findTenant(pool, tenantParams.parse(request.params).tenant)),
  );

  app.patch(
    '/v1/tenants/:tenant',
    {
      schema: {
        tags,
        summary: 'Change name, quotas or, before anything is stored, the placement; quotas that are not named are no limits any more',
        params: tenantParams,
        body: patchTenant,
      },
    },
    async (request, reply) => {
      const { tenant } = tenantParams.parse(request.params);
      const change = patchTenant.parse(request.body);
      return await write(context, request, reply, operatorScope, async (connection) => {
        const row = await findTenant(connection, tenant, 'FOR UPDATE');
        const { placement = row.placement } = change;
        await place(context, connection, tenant, change.placement);
        const next = { name: change.name ?? row.name, quotas: change.quotas ?? row.quotas };
        await connection.query('UPDATE modelwright_control.tenants SET name = ?, quotas = ? WHERE tenant_id = ?', [
          next.name,
          JSON.stringify(next.quotas),
          tenant,
        ]);
        // The tenant's workflow learns of it as of every change: from the log. It reads quotas together with customizations.
        if (change.quotas)
          await connection.query('UPDATE modelwright.customizations SET updated_at = UTC_TIMESTAMP(6) WHERE tenant_id = ?', [tenant]);
        return { status: 200, body: { ...shown(row), ...next, placement } };
      });
    },
  );

  app.post(
    '/v1/tenants/:tenant/keys',
    { schema: { tags, summary: 'Another key; shown once', params: tenantParams } },
    async (request, reply) => {
      const { tenant } = tenantParams.parse(request.params);
      return await write(context, request, reply, operatorScope, async (connection) => {
        await findTenant(connection, tenant, 'FOR SHARE');
        const { key, keyId } = await issueKey(connection, tenant);
        return { status: 201, body: { id: tenant, keyId, key } };
      });
    },
  );

  app.delete(
    '/v1/tenants/:tenant',
    { schema: { tags, summary: 'Delete a tenant, its keys, customizations and examples', params: tenantParams } },
    async (request, reply) => {
      const { tenant } = tenantParams.parse(request.params);
      await findTenant(pool, tenant);
      // Keys first: nobody adds rows while they go. Then in bounded transactions; a repeated request goes on where this one ended.
      await pool.query('UPDATE modelwright_control.api_keys SET revoked_at = COALESCE(revoked_at, UTC_TIMESTAMP(6)) WHERE tenant_id = ?', [
        tenant,
      ]);
      for (let deleted = deleteRows; deleted === deleteRows;) {
        const [result] = await pool.query('DELETE FROM modelwright.examples WHERE tenant_id = ? LIMIT ?', [tenant, deleteRows]);
        deleted = (result as { affectedRows: number }).affectedRows;
      }
      return await write(context, request, reply, operatorScope, async (connection) => {
        await connection.query('DELETE FROM modelwright.examples WHERE tenant_id = ?', [tenant]);
        await connection.query('DELETE FROM modelwright.customizations WHERE tenant_id = ?', [tenant]);
        await connection.query('DELETE FROM modelwright_control.source_grants WHERE tenant_id = ?', [tenant]);
        for (const table of ['schema_changes', 'approved_structures'])
          await connection.query(`DELETE FROM modelwright_control.${table} WHERE tenant_id = ?`, [tenant]);
        await connection.query('DELETE FROM modelwright_control.api_keys WHERE tenant_id = ?', [tenant]);
        await connection.query('DELETE FROM modelwright_control.tenants WHERE tenant_id = ?', [tenant]);
        // Of one that has stored something it stays: its objects go with the next garbage collection.
        await connection.query('DELETE FROM modelwright_control.tenant_placements WHERE tenant_id = ? AND stored_since IS NULL', [tenant]);
        return { status: 200, body: { id: tenant, deleted: true } };
      });
    },
  );
}
