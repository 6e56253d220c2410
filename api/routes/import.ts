import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { BusinessModel } from '../../catalog/catalog.ts';
import { commitGtid, isContention } from '../../platform/mysql.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { exampleChecker, findManaged, modelOf, storeExamples } from '../example-content.ts';
import { type FieldReading, type ImportRecord, csvRecords, ndjsonRecords } from '../import/records.ts';
import { Problem } from '../problems.ts';
import { customizationParams, importQuery } from '../schemas.ts';
import { idempotencyKeyOf, noteCommit } from '../write.ts';
import { beginImport, endImport } from '../import/import-key.ts';

/** Rows of one transaction: large enough to be fast, small enough not to hold up others. */
const rowsPerTransaction = 1_000;
/** Long texts make smaller transactions: an import holds a few times this much in memory, whatever its size. */
const bytesPerTransaction = 2 * 1024 * 1024;
/** Errors that a report names; all are counted. */
const maxErrors = 1_000;
const contentionAttempts = 10;
/** Bytes of a line besides its text. */
const lineSlackBytes = 65_536;

/** Numbers, and lists as JSON; a text that is neither stays as it is, and the example schema says so. */
function fieldReading({ exampleSchema }: BusinessModel): FieldReading {
  return (name, text) => {
    const type = exampleSchema.properties[name]?.['type'];
    if (type === 'number') return Number(text);
    if (type !== 'array' && type !== 'object') return text;
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return text;
    }
  };
}

export function importRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, catalog, config } = context;
  // The body is not read here: the route reads it as it comes.
  app.removeAllContentTypeParsers();
  for (const type of ['application/x-ndjson', 'application/jsonl', 'application/ndjson', 'text/csv'])
    app.addContentTypeParser(type, { bodyLimit: Number.MAX_SAFE_INTEGER }, (_request, payload, done) => done(null, payload));

  app.post(
    '/v1/customizations/:c/examples/$import',
    {
      schema: {
        tags: ['examples'],
        summary: 'Import NDJSON or CSV as a stream; reports every bad line',
        params: customizationParams,
        querystring: importQuery,
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const dryRun = ['1', 'true'].includes(importQuery.parse(request.query).dryRun ?? '0');
      const model = modelOf(catalog, (await findManaged(pool, tenantId, c)).business_model);
      const check = exampleChecker(model, config.settings.MW_MAX_TEXT_CHARS);
      const csv = (request.headers['content-type'] ?? '').startsWith('text/csv');
      const maxBytes = config.settings.MW_MAX_TEXT_CHARS * 4 + lineSlackBytes;
      if (request.body === undefined || request.body === null)
        throw new Problem('unsupported_media_type', 'send application/x-ndjson or text/csv');
      const body = request.body as Readable;
      const hash = createHash('sha256');
      body.on('data', (chunk: Buffer) => hash.update(chunk));
      body.pause();
      const key = idempotencyKeyOf(request);
      const known = key === null || dryRun ? null : await beginImport(pool, tenantId, key);
      if (known) {
        // Whether it is the same import is known when all of it was read.
        for await (const _ of body) void _;
        return await reply.header('Mw-Commit', known.commit ?? '').send(known.replay(hash.digest()));
      }

      const report = {
        stored: 0,
        updated: 0,
        rejected: 0,
        errors: [] as { line: number; pointer: string; message: string }[],
        commits: [] as string[],
      };
      let readable = 0;
      let unread = 0;
      const reject = (line: number, pointer: string, message: string): void => {
        if (report.errors.length < maxErrors) report.errors.push({ line, pointer, message });
      };
      let waiting = new Map<string, string>();
      let waitingBytes = 0;
      const flush = async (): Promise<void> => {
        if (waiting.size === 0) return;
        const batch = waiting;
        waiting = new Map();
        waitingBytes = 0;
        if (dryRun) report.stored += batch.size;
        else {
          const { stored, updated, commit } = await storeBatch(context, tenantId, c, batch);
          report.stored += stored;
          report.updated += updated;
          if (commit !== null) report.commits.splice(report.commits.length === 0 ? 0 : 1, 1, commit);
        }
      };
      const records: AsyncIterable<ImportRecord> = csv ? csvRecords(body, maxBytes, fieldReading(model)) : ndjsonRecords(body, maxBytes);
      try {
        for await (const record of records) {
          if ('problem' in record) {
            if (record.problem.unreadable) unread += 1;
            report.rejected += 1;
            reject(record.line, record.problem.pointer, record.problem.message);
            continue;
          }
          readable += 1;
          const checked = check(record.value);
          if (checked.ok) {
            waiting.set(checked.id, checked.content);
            waitingBytes += Buffer.byteLength(checked.content);
            if (waiting.size >= rowsPerTransaction || waitingBytes >= bytesPerTransaction) await flush();
          } else {
            report.rejected += 1;
            for (const { pointer, message } of checked.errors) reject(record.line, pointer, message);
          }
        }
      } catch (error) {
        if (
          error instanceof Problem ||
          !csv ||
          !('code' in (error as object) && String((error as { code: unknown }).code).startsWith('CSV'))
        )
          throw error;
        throw new Problem('not_csv', `the body is not CSV: ${error instanceof Error ? error.message.slice(0, 80) : ''}`);
      }
      await flush();
      if (readable === 0 && unread > 0) throw new Problem(csv ? 'not_csv' : 'not_ndjson', undefined, report.errors);
      const first = report.commits[0] ?? null;
      const last = report.commits.at(-1) ?? null;
      const answer = { ...report, dryRun, commits: first === null ? [] : [first, last], commit: last };
      if (key !== null && !dryRun) await endImport(pool, tenantId, key, hash.digest(), answer);
      if (last !== null) void reply.header('Mw-Commit', last);
      return answer;
    },
  );
}

async function storeBatch(
  context: ApiContext,
  tenantId: string,
  c: string,
  batch: ReadonlyMap<string, string>,
): Promise<{ stored: number; updated: number; commit: string | null }> {
  for (let attempt = 1; ; attempt++) {
    const connection = await context.pool.getConnection();
    try {
      await connection.beginTransaction();
      await findManaged(connection, tenantId, c, 'FOR SHARE');
      const counts = await storeExamples(connection, tenantId, c, batch);
      const [header] = await connection.query('COMMIT');
      connection.release();
      const commit = commitGtid(header);
      if (commit !== null) await noteCommit(context, tenantId, c, null, commit);
      return { ...counts, commit };
    } catch (error) {
      connection.destroy();
      if (!isContention(error) || attempt >= contentionAttempts) throw error;
    }
  }
}
