import type { Pool, RowDataPacket } from '../../../platform/mysql.ts';
import type { ConnectorConfig } from '../../../platform/kafka-connect.ts';
import type { ChangesMissed } from '../../../core/tenant-messages.ts';
import { sourceName } from '../../../core/source-mapping.ts';

export const examplesTable = 'modelwright.examples';
export const customizationsTable = 'modelwright.customizations';

/** Whose changes may have been lost: rows of which tables, and of which tenants. */
export type Scope = { readonly table: (name: string) => boolean; readonly tenant: (tenantId: string) => boolean };

const everyTenant = (): boolean => true;

/** Tables that a connector captures, by its own lists of regular expressions. */
export function capturedBy(configs: readonly ConnectorConfig[]): Scope {
  const matchers = configs.map((config) => {
    const tables = expressions(config['table.include.list']);
    const databases = expressions(config['database.include.list']);
    return (name: string): boolean =>
      tables.length > 0
        ? tables.some((one) => one.test(name))
        : databases.length === 0 || databases.some((one) => one.test(name.split('.')[0] ?? ''));
  });
  return { table: (name) => matchers.some((matches) => matches(name)), tenant: everyTenant };
}

const expressions = (list: string | undefined): RegExp[] =>
  (list ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
    .map((one) => new RegExp(`^(?:${one})$`, 'i'));

/** The one table whose changes a topic carries, by the end of its name, in which Debezium replaces what a topic's name cannot hold. */
export const carriedBy = (topic: string, tenant: Scope['tenant'] = everyTenant): Scope => ({
  table: (name) => topic.endsWith(`.${name.replaceAll(/[^A-Za-z0-9._-]/g, '_')}`),
  tenant,
});

type Owned = RowDataPacket & {
  tenant_id: string;
  customization_id: string;
  source: { database: string; table: string } | null;
  gone: string | number;
};

/** By tenant, what it must compare and what it must only read again. Customizations that were deleted meanwhile are among the latter. */
export async function affectedTenants(pool: Pool, scope: Scope, reason: string): Promise<Map<string, ChangesMissed>> {
  const [rows] = await pool.query<Owned[]>(
    `SELECT tenant_id, customization_id, source, FALSE AS gone FROM modelwright.customizations
     UNION ALL
     SELECT DISTINCT s.tenant_id, s.customization_id, NULL, TRUE FROM modelwright_control.sensed_commits s
     JOIN modelwright_control.tenants t ON t.tenant_id = s.tenant_id
     WHERE NOT EXISTS (SELECT 1 FROM modelwright.customizations c
                       WHERE c.tenant_id = s.tenant_id AND c.customization_id = s.customization_id)
     ORDER BY tenant_id, customization_id`,
  );
  const settings = scope.table(customizationsTable);
  const found = new Map<string, { customizationIds: string[]; settingsIds: string[]; reason: string }>();
  for (const row of rows) {
    if (!scope.tenant(row.tenant_id)) continue;
    const rowsLost = Number(row.gone) === 0 && scope.table(row.source ? sourceName(row.source) : examplesTable);
    if (!rowsLost && !settings) continue;
    const missed = found.get(row.tenant_id) ?? { customizationIds: [], settingsIds: [], reason };
    found.set(row.tenant_id, missed);
    if (rowsLost) missed.customizationIds.push(row.customization_id);
    if (settings) missed.settingsIds.push(row.customization_id);
  }
  return found;
}
