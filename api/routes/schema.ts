import type { FastifyInstance } from 'fastify';
import { managedTable } from '../../core/managed-table.ts';
import type { SchemaChangeKind, SchemaDecided, SchemaEffect } from '../../core/schema-change.ts';
import { sourceName } from '../../core/source-mapping.ts';
import { type TableColumns, columnType } from '../../core/table-structure.ts';
import { messageNames } from '../../core/tenant-messages.ts';
import { randomUUID } from '../../platform/clock.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { findCustomization } from '../example-content.ts';
import { approveSchemaBody, customizationParams } from '../schemas.ts';
import { update } from '../tenant-workflow.ts';
import { idempotencyKeyOf } from '../write.ts';
import { actorOf } from './runs.ts';

type VersionRow = RowDataPacket & { version: number; columns: TableColumns | null; digest: string; gtid: string; seen_at: Date };
type ChangeRow = RowDataPacket & {
  change_id: string;
  table_name: string;
  kind: SchemaChangeKind;
  effect: SchemaEffect;
  reason: string;
  schema_version: number;
  gtid: string;
  happened_at: Date;
  decision: string | null;
  decided_by: string | null;
  decided_at: Date | null;
};

const tags = ['schema'];
/** Changes of structure are rare: this is years of them. */
const maxHistory = 200;

const shownChange = (row: ChangeRow) => ({
  changeId: row.change_id,
  table: row.table_name,
  kind: row.kind,
  effect: row.effect,
  reason: row.reason,
  schemaVersion: row.schema_version,
  commit: row.gtid === '' ? null : row.gtid,
  happenedAt: row.happened_at.toISOString(),
  decision: row.decision,
  decidedBy: row.decided_by,
  decidedAt: row.decided_at?.toISOString() ?? null,
});

/** The structure of the table that a customization reads, and what waits for a person. */
export function schemaRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool } = context;

  app.get(
    '/v1/customizations/:c/schema',
    { schema: { tags, summary: 'Structure of its table, held changes, and the history', params: customizationParams } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { schema_policy: policy, source } = await findCustomization(pool, tenantId, c);
      const where = source ?? managedTable;
      const [[versions], [changes]] = await Promise.all([
        pool.query<VersionRow[]>(
          `SELECT version, columns, digest, gtid, seen_at FROM modelwright_control.schema_versions
           WHERE database_name = ? AND table_name = ? ORDER BY version DESC LIMIT 1`,
          [where.database, where.table],
        ),
        pool.query<ChangeRow[]>(
          `SELECT change_id, table_name, kind, effect, reason, schema_version, gtid, happened_at, decision, decided_by, decided_at
           FROM modelwright_control.schema_changes WHERE tenant_id = ? AND customization_id = ?
           ORDER BY happened_at DESC, schema_version DESC LIMIT ?`,
          [tenantId, c, maxHistory],
        ),
      ]);
      const current = versions[0];
      return {
        table: sourceName(where),
        policy,
        mapping: source && { columns: source.columns, filter: source.filter },
        current: current
          ? {
              version: current.version,
              digest: current.digest,
              commit: current.gtid === '' ? null : current.gtid,
              seenAt: current.seen_at.toISOString(),
              // Of our own table only its owner needs to know more than the version.
              columns:
                source && current.columns
                  ? current.columns.map((column) => ({
                      name: column.name,
                      type: columnType(column),
                      charset: column.charset,
                      nullable: column.nullable,
                    }))
                  : null,
            }
          : null,
        held: changes.filter(({ effect, decision }) => effect === 'held' && decision === null).map(shownChange),
        history: changes.map(shownChange),
      };
    },
  );

  app.post(
    '/v1/customizations/:c/$approveSchema',
    {
      schema: {
        tags,
        summary: 'Answer a held change: approve it, map other columns, or ignore it',
        params: customizationParams,
        body: approveSchemaBody,
      },
    },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { action, changeId, columns, table, reason } = approveSchemaBody.parse(request.body);
      await findCustomization(pool, tenantId, c);
      return await update<SchemaDecided>(
        context,
        tenantId,
        messageNames.approveSchema,
        {
          customizationId: c,
          action,
          actor: actorOf(request.caller),
          ...(changeId === undefined ? {} : { changeId }),
          ...(columns === undefined ? {} : { columns }),
          ...(table === undefined ? {} : { table }),
          ...(reason === undefined ? {} : { reason }),
        },
        idempotencyKeyOf(request) ?? randomUUID(),
      );
    },
  );
}
