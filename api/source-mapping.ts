import type { z } from 'zod';
import type { BusinessModel } from '../catalog/catalog.ts';
import { type SourceMapping, sourceName } from '../core/source-mapping.ts';
import { sourceDigest } from '../platform/hash.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../platform/mysql.ts';
import { findGrant } from '../sources/grants.ts';
import { mappingProblems } from '../sources/mapping-problems.ts';
import { readStructure } from '../sources/table-structure.ts';
import { Problem } from './problems.ts';
import type { sourceMapping } from './schemas.ts';

/**
 * The mapping as it is stored: checked against the tenant's grant, the table as it is now, and the business model. The filter of the grant is
 * part of it whether it was named or not. The grant is locked until the transaction ends.
 */
export async function checkedSource(
  connection: PoolConnection,
  tenantId: string,
  model: BusinessModel,
  wanted: z.infer<typeof sourceMapping>,
): Promise<SourceMapping> {
  const grant = await findGrant(connection, tenantId, wanted, 'FOR SHARE');
  // A table that exists and one that does not are answered alike: what is not granted is not told.
  if (!grant)
    throw new Problem(
      'invalid_source',
      `${sourceName(wanted)} was not granted to this tenant: ask the operator; \`GET /v1/sources\` lists what was`,
      [{ pointer: '/source/table', message: 'is not among the tables that were granted' }],
    );
  const filter = wanted.filter ?? grant.filter;
  const structure = await readStructure(connection, grant.database, grant.table);
  if (!structure)
    throw new Problem('invalid_source', `${sourceName(wanted)} is not there any more, or may not be read`, [
      { pointer: '/source/table', message: 'is not there any more, or our MySQL user may not read it: ask the operator' },
    ]);
  // By the schema `columns` has any fields: whether `id` is among them is one of the problems.
  const mapping = { database: grant.database, table: grant.table, columns: wanted.columns as SourceMapping['columns'], filter };
  const outside = grant.filter && (filter?.column !== grant.filter.column || filter.equals !== grant.filter.equals);
  const problems = [
    ...(outside && grant.filter
      ? [
          {
            pointer: '/filter',
            message: `only rows whose ${grant.filter.column} is "${grant.filter.equals}" were granted: leave the filter out`,
          },
        ]
      : []),
    ...mappingProblems(mapping, structure, model),
  ];
  if (problems.length > 0)
    throw new Problem(
      'invalid_source',
      `the mapping does not fit ${sourceName(mapping)}`,
      problems.map(({ pointer, message }) => ({ pointer: `/source${pointer}`, message })),
    );
  return mapping;
}

type CaptureRow = RowDataPacket & { source_digest: string; state: string; detail: string | null; updated_at: Date };

/** Whether changes of the mapped table reach the customization already. */
export async function captureOf(pool: Pool, tenantId: string, customizationId: string, source: SourceMapping) {
  const [rows] = await pool.query<CaptureRow[]>(
    'SELECT source_digest, state, detail, updated_at FROM modelwright_control.source_capture WHERE tenant_id = ? AND customization_id = ?',
    [tenantId, customizationId],
  );
  const row = rows[0];
  const current = row !== undefined && (row.state !== 'capturing' || row.source_digest === sourceDigest(source));
  // The connector is shared with other tenants' tables of the database: what it says in full is for the operator.
  const detail = row?.state === 'failed' ? 'the capture of this database failed and is tried again: the operator sees why' : row?.detail;
  return current
    ? { state: row.state, detail: detail ?? null, since: row.updated_at.toISOString() }
    : { state: 'starting', detail: 'the change consumer has not taken the mapping up yet', since: null };
}
