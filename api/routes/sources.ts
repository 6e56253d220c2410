import type { FastifyInstance } from 'fastify';
import { createPool } from '../../platform/mysql.ts';
import { keyTextOf, readingOf } from '../../sources/column-reading.ts';
import {
  type SourceGrant,
  deleteGrant,
  findGrant,
  grantsOf,
  grantsOfTable,
  insertGrant,
  mappedBy,
  overlapProblem,
} from '../../sources/grants.ts';
import { idProblem, tableProblems } from '../../sources/mapping-problems.ts';
import { connectorProblems, readProblem, reservedDatabase, serverProblems } from '../../sources/server-problems.ts';
import { readStructure } from '../../sources/table-structure.ts';
import { operatorOnly, tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { Problem } from '../problems.ts';
import { grantParams, grantSource, tenantParams } from '../schemas.ts';
import { write } from '../write.ts';

const tags = ['sources'];
/** The operator's own writes are kept apart from the tenants'. */
const operatorScope = '';

const shown = ({ tenantId, database, table, filter, approvedBy, approvedAt }: SourceGrant) => ({
  tenant: tenantId,
  database,
  table,
  filter,
  approvedBy,
  approvedAt: approvedAt.toISOString(),
});

/** Tables of their own that tenants may map: granted by the operator, seen by the tenant. */
export function sourceRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, config } = context;

  /** Everything that is wrong with the server, the table and the rights to it. */
  async function problemsOf(wanted: Pick<SourceGrant, 'tenantId' | 'database' | 'table' | 'filter'>): Promise<readonly string[]> {
    const { database, table, filter } = wanted;
    if (reservedDatabase(database))
      return [`${database} is a database of the server or of Modelwright itself: its tables cannot be granted`];
    const [server, read] = await Promise.all([serverProblems(pool), readProblem(pool, wanted, "Modelwright's user")]);
    const structure = read === null ? await readStructure(pool, database, table) : null;
    const overlap = overlapProblem(wanted, await grantsOfTable(pool, database, table));
    return [
      ...server,
      ...(read === null ? [] : [read]),
      ...(structure ? tableProblems(structure, filter) : []),
      ...(await problemsOfConnector(wanted)),
      ...(overlap === null ? [] : [overlap]),
    ];
  }

  async function problemsOfConnector(wanted: { readonly database: string; readonly table: string }): Promise<string[]> {
    const { mysql, connectorUser } = config;
    if (connectorUser === null)
      return ['MW_MYSQL_DEBEZIUM_PASSWORD is not set: set it for the API and the change consumer, so that the connector can log in'];
    const asConnector = createPool({ mysql: { ...mysql, ...connectorUser } }, { connectionLimit: 1 });
    try {
      return await connectorProblems(asConnector, wanted);
    } finally {
      await asConnector.end();
    }
  }

  app.post(
    '/v1/tenants/:tenant/sources',
    {
      schema: {
        tags,
        summary: 'Let a tenant map a table of its own; answers with all that stands against it',
        params: tenantParams,
        body: grantSource,
      },
    },
    async (request, reply) => {
      operatorOnly(request.caller);
      const { tenant } = tenantParams.parse(request.params);
      const body = grantSource.parse(request.body);
      const wanted = { tenantId: tenant, database: body.database, table: body.table, filter: body.filter ?? null, approvedBy: 'operator' };
      const [known] = await pool.query('SELECT 1 FROM modelwright_control.tenants WHERE tenant_id = ?', [tenant]);
      if ((known as unknown[]).length === 0) throw new Problem('not_found', `there is no tenant ${tenant}`);
      const problems = await problemsOf(wanted);
      const name = `${body.database}.${body.table}`;
      if (problems.length > 0)
        throw new Problem(
          'source_not_ready',
          `${name} cannot be a source yet: ${problems.length} ${problems.length === 1 ? 'thing stands' : 'things stand'} against it`,
          problems.map((message) => ({ message })),
        );
      return await write(context, request, reply, operatorScope, async (connection) => {
        if (!(await insertGrant(connection, wanted)))
          throw new Problem('exists', `${name} was granted to ${tenant} already: delete that grant first to change its filter`);
        const grant = await findGrant(connection, tenant, wanted);
        return { status: 201, body: grant ? shown(grant) : {} };
      });
    },
  );

  app.get(
    '/v1/tenants/:tenant/sources',
    { schema: { tags, summary: 'Tables that a tenant may map', params: tenantParams } },
    async (request) => {
      operatorOnly(request.caller);
      const { tenant } = tenantParams.parse(request.params);
      const grants = await grantsOf(pool, tenant);
      return { items: await Promise.all(grants.map(async (grant) => ({ ...shown(grant), mappedBy: await mappedBy(pool, grant) }))) };
    },
  );

  app.delete(
    '/v1/tenants/:tenant/sources/:database/:table',
    { schema: { tags, summary: 'Take a grant back; refused while a customization maps the table', params: grantParams } },
    async (request, reply) => {
      operatorOnly(request.caller);
      const { tenant, database, table } = grantParams.parse(request.params);
      return await write(context, request, reply, operatorScope, async (connection) => {
        const grant = await findGrant(connection, tenant, { database, table }, 'FOR UPDATE');
        if (!grant) throw new Problem('not_found', `tenant ${tenant} has no grant of ${database}.${table}`);
        const customizations = (await mappedBy(connection, grant)).map(({ customizationId }) => customizationId);
        if (customizations.length > 0)
          throw new Problem(
            'refused',
            `${database}.${table} is mapped by ${customizations.join(', ')} of ${tenant}: delete or re-map them first`,
          );
        await deleteGrant(connection, grant);
        return { status: 200, body: { tenant, database, table, deleted: true } };
      });
    },
  );

  app.get('/v1/sources', { schema: { tags, summary: 'Tables that this tenant may map, with their columns' } }, async (request) => {
    const grants = await grantsOf(pool, tenantOf(request.caller));
    const items = await Promise.all(
      grants.map(async (grant) => {
        const { database, table, filter } = grant;
        const structure = await readStructure(pool, database, table);
        return {
          database,
          table,
          filter,
          primaryKey: structure?.primaryKey ?? [],
          problem: structure ? null : 'the table is not there any more, or may not be read: ask the operator',
          columns: (structure?.columns ?? []).map((column) => {
            const reading = readingOf(column, ['string', 'number', 'integer', 'boolean', 'array', 'object']);
            return {
              name: column.name,
              type: column.fullType,
              nullable: column.nullable,
              /** Why it cannot be a field, an id or a filter; null: it can. */
              fieldProblem: 'problem' in reading ? reading.problem : null,
              idProblem: structure && idProblem(structure, column, filter),
              filterProblem: 'problem' in keyTextOf(column) ? 'cannot be compared exactly' : null,
            };
          }),
        };
      }),
    );
    return { items };
  });
}
