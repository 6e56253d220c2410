import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { bucketOf, sha256Hex } from '../../platform/hash.ts';
import { type PoolConnection, type RowDataPacket, streamRows } from '../../platform/mysql.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { exampleChecker, findCustomization, findManaged, modelOf, storeExamples } from '../example-content.ts';
import { mappedExample, mappedPage, openMapped } from '../mapped-examples.ts';
import { page, partsOf } from '../paging.ts';
import { type FieldError, Problem } from '../problems.ts';
import { createExamples, customizationParams, exampleParams, pageQuery, putExample } from '../schemas.ts';
import { write } from '../write.ts';

type ExampleRow = RowDataPacket & {
  example_id: string;
  bucket: number;
  content: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
};

const tags = ['examples'];
const columns = 'example_id, bucket, content, created_at, updated_at';
const one = 'tenant_id = ? AND customization_id = ? AND bucket = ? AND example_id = ?';

const shown = (row: ExampleRow) => ({
  id: row.example_id,
  ...row.content,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});
const etagOf = (row: ExampleRow): string => `"${sha256Hex(JSON.stringify(row.content)).slice(0, 32)}"`;

async function findExample(
  pool: ApiContext['pool'] | PoolConnection,
  key: readonly [string, string, string],
  lock = '',
): Promise<ExampleRow | null> {
  const [tenantId, c, id] = key;
  const [rows] = await pool.query<ExampleRow[]>(`SELECT ${columns} FROM modelwright.examples WHERE ${one} ${lock}`, [
    tenantId,
    c,
    bucketOf(id),
    id,
  ]);
  return rows[0] ?? null;
}

function checkIfMatch(request: FastifyRequest, row: ExampleRow | null): void {
  const wanted = request.headers['if-match'];
  if (wanted === undefined || (wanted === '*' && row)) return;
  if (!row || wanted !== etagOf(row)) throw new Problem('version_conflict');
}

export function exampleRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, catalog, config } = context;
  const checkerOf = async (connection: ApiContext['pool'] | PoolConnection, tenantId: string, c: string, lock = '') => {
    const { business_model: model } = await findManaged(connection, tenantId, c, lock);
    return exampleChecker(modelOf(catalog, model), config.settings.MW_MAX_TEXT_CHARS);
  };

  app.post(
    '/v1/customizations/:c/examples',
    { schema: { tags, summary: 'One example, or up to 1,000 in `items`', params: customizationParams, body: createExamples } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const body = createExamples.parse(request.body) as Record<string, unknown>;
      const many = Array.isArray(body['items']);
      const items = many ? (body['items'] as unknown[]) : [body];
      return await write(context, request, reply, tenantId, async (connection) => {
        const check = await checkerOf(connection, tenantId, c, 'FOR SHARE');
        const good = new Map<string, string>();
        const rejected: FieldError[] = [];
        items.forEach((item, index) => {
          const checked = check(item);
          if (checked.ok) good.set(checked.id, checked.content);
          else for (const error of checked.errors) rejected.push({ index, ...error });
        });
        if (good.size === 0)
          throw new Problem(
            'invalid_example',
            many ? 'none of the examples is valid' : 'the example is not valid',
            rejected.map((error) => (many ? error : { pointer: error.pointer ?? '', message: error.message })),
          );
        const { stored, updated } = await storeExamples(connection, tenantId, c, good);
        const ids = [...good.keys()];
        return { status: 201, body: { stored: stored + updated, updated, rejected, ids }, customizationId: c };
      });
    },
  );

  app.get(
    '/v1/customizations/:c/examples',
    { schema: { tags, summary: 'Examples, page by page', params: customizationParams, querystring: pageQuery } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { limit, cursor } = pageQuery.parse(request.query);
      const customization = await findCustomization(pool, tenantId, c);
      if (customization.source) return await mappedPage(context, customization, customization.source, limit, cursor);
      const after = partsOf(cursor, 2) ?? [-1, ''];
      const [rows] = await pool.query<ExampleRow[]>(
        `SELECT ${columns} FROM modelwright.examples
       WHERE tenant_id = ? AND customization_id = ? AND (bucket, example_id) > (?, ?) AND bucket >= ? ORDER BY bucket, example_id LIMIT ?`,
        [tenantId, c, after[0], after[1], after[0], limit + 1],
      );
      return page(rows, limit, shown, (row) => [row.bucket, row.example_id]);
    },
  );

  app.get(
    '/v1/customizations/:c/examples/:exampleId',
    { schema: { tags, summary: 'One example, with its ETag', params: exampleParams } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c, exampleId } = exampleParams.parse(request.params);
      const customization = await findCustomization(pool, tenantId, c);
      if (customization.source) {
        const { etag, body } = await mappedExample(context, customization, customization.source, exampleId);
        return await reply.header('etag', etag).send(body);
      }
      const row = await findExample(pool, [tenantId, c, exampleId]);
      if (!row) throw new Problem('not_found', `there is no example ${exampleId} in ${c}`);
      return await reply.header('etag', etagOf(row)).send(shown(row));
    },
  );

  /** Writes one example as `content` says, which sees the row as it is. */
  const put = async (
    request: FastifyRequest,
    reply: Parameters<typeof write>[2],
    content: (row: ExampleRow | null) => Record<string, unknown>,
  ) => {
    const tenantId = tenantOf(request.caller);
    const { c, exampleId } = exampleParams.parse(request.params);
    return await write(context, request, reply, tenantId, async (connection) => {
      const check = await checkerOf(connection, tenantId, c, 'FOR SHARE');
      const row = await findExample(connection, [tenantId, c, exampleId], 'FOR UPDATE');
      checkIfMatch(request, row);
      const checked = check(content(row), exampleId);
      if (!checked.ok) throw new Problem('invalid_example', 'the example is not valid', checked.errors);
      await storeExamples(connection, tenantId, c, new Map([[checked.id, checked.content]]));
      const stored = await findExample(connection, [tenantId, c, exampleId]);
      if (stored) void reply.header('etag', etagOf(stored));
      return { status: row ? 200 : 201, body: stored ? shown(stored) : { id: exampleId }, customizationId: c };
    });
  };
  const withoutShown = (body: unknown): Record<string, unknown> => {
    const {
      id: _id,
      createdAt: _createdAt,
      updatedAt: _updatedAt,
      commit: _commit,
      ...content
    } = putExample.parse(body) as Record<string, unknown>;
    return content;
  };
  app.put(
    '/v1/customizations/:c/examples/:exampleId',
    { schema: { tags, summary: 'Write one example', params: exampleParams, body: putExample } },
    (request, reply) => put(request, reply, () => withoutShown(request.body)),
  );
  app.patch(
    '/v1/customizations/:c/examples/:exampleId',
    { schema: { tags, summary: 'Change fields of one example', params: exampleParams, body: putExample } },
    (request, reply) =>
      put(request, reply, (row) => {
        if (!row) throw new Problem('not_found', 'there is no such example');
        return { ...row.content, ...withoutShown(request.body) };
      }),
  );

  app.delete(
    '/v1/customizations/:c/examples/:exampleId',
    { schema: { tags, summary: 'Delete one example', params: exampleParams } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c, exampleId } = exampleParams.parse(request.params);
      return await write(context, request, reply, tenantId, async (connection) => {
        await findManaged(connection, tenantId, c, 'FOR SHARE');
        const row = await findExample(connection, [tenantId, c, exampleId], 'FOR UPDATE');
        if (!row) throw new Problem('not_found', `there is no example ${exampleId} in ${c}`);
        checkIfMatch(request, row);
        await connection.query(`DELETE FROM modelwright.examples WHERE ${one}`, [tenantId, c, bucketOf(exampleId), exampleId]);
        return { status: 200, body: { id: exampleId, deleted: true }, customizationId: c };
      });
    },
  );

  app.get(
    '/v1/customizations/:c/examples/$export',
    { schema: { tags, summary: 'All examples as NDJSON', params: customizationParams } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const customization = await findCustomization(pool, tenantId, c);
      const mapped = customization.source && (await openMapped(context, customization, customization.source));
      const connection = await pool.getConnection();
      const lines = async function* (): AsyncGenerator<string> {
        let done = false;
        try {
          if (mapped) for await (const row of mapped.all(connection)) yield `${JSON.stringify({ id: row.id, ...row.content })}\n`;
          else
            for await (const { example_id: id, content } of streamRows<ExampleRow>(
              connection,
              'SELECT example_id, content FROM modelwright.examples WHERE tenant_id = ? AND customization_id = ? ORDER BY bucket, example_id',
              [tenantId, c],
            ))
              yield `${JSON.stringify({ id, ...content })}\n`;
          done = true;
        } finally {
          // A client that went away leaves rows on the connection.
          if (done) connection.release();
          else connection.destroy();
        }
      };
      return await reply.type('application/x-ndjson').send(Readable.from(lines()));
    },
  );
}
