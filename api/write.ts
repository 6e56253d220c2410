import type { FastifyReply, FastifyRequest } from 'fastify';
import { sleep } from '../platform/clock.ts';
import { sha256Hex } from '../platform/hash.ts';
import { type PoolConnection, type RowDataPacket, commitGtid, isContention } from '../platform/mysql.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problems.ts';

/** What a write answers, and which customization its commit touches (for the receipt). */
export type Written = { readonly status: number; readonly body: Record<string, unknown>; readonly customizationId?: string };

type IdempotencyRow = RowDataPacket & {
  request_sha256: Buffer;
  status: number | null;
  response: Record<string, unknown> | null;
  commit_gtid: string | null;
};

/** Of many that wait for one key some are chosen as the victims of a deadlock, and again: each takes its turn after a pause that grows. */
const contentionAttempts = 20;
const contentionPauseMs = 5;
const maxKeyLength = 255;

export function idempotencyKeyOf(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key !== 'string' || key === '' || key.length > maxKeyLength)
    throw new Problem('invalid_request', `Idempotency-Key must have 1 to ${maxKeyLength} characters`);
  return key;
}

/**
 * One transaction that is one write: its effect, and with an Idempotency-Key its answer, become durable together. A repeated request gets the
 * first one's answer; concurrent ones wait for each other at the key's row. Answers with the commit's GTID.
 */
export async function write(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  tenantId: string,
  work: (connection: PoolConnection) => Promise<Written>,
): Promise<unknown> {
  const key = idempotencyKeyOf(request);
  const digest = Buffer.from(sha256Hex(`${request.method} ${request.url}\n${JSON.stringify(request.body ?? null)}`), 'hex');
  for (let attempt = 1; ; attempt++) {
    const connection = await context.pool.getConnection();
    try {
      await connection.beginTransaction();
      const replayed = key === null ? null : await takeKey(connection, tenantId, key, digest);
      if (replayed) {
        await connection.rollback();
        connection.release();
        return await send(reply, replayed.status, replayed.body, replayed.commit);
      }
      const written = await work(connection);
      if (key !== null)
        await connection.query(
          'UPDATE modelwright_control.idempotency_keys SET status = ?, response = ? WHERE tenant_id = ? AND idempotency_key = ?',
          [written.status, JSON.stringify(written.body), tenantId, key],
        );
      const [header] = await connection.query('COMMIT');
      connection.release();
      const commit = commitGtid(header);
      if (commit !== null) await noteCommit(context, tenantId, written.customizationId, key, commit);
      return await send(reply, written.status, written.body, commit);
    } catch (error) {
      connection.destroy();
      if (!isContention(error) || attempt >= contentionAttempts) throw error;
      await sleep(contentionPauseMs * attempt);
    }
  }
}

async function takeKey(
  connection: PoolConnection,
  tenantId: string,
  key: string,
  digest: Buffer,
): Promise<{ status: number; body: Record<string, unknown>; commit: string | null } | null> {
  const [inserted] = await connection.query(
    'INSERT IGNORE INTO modelwright_control.idempotency_keys (tenant_id, idempotency_key, request_sha256) VALUES (?, ?, ?)',
    [tenantId, key, digest],
  );
  if ((inserted as { affectedRows: number }).affectedRows === 1) return null;
  const [rows] = await connection.query<IdempotencyRow[]>(
    'SELECT request_sha256, status, response, commit_gtid FROM modelwright_control.idempotency_keys WHERE tenant_id = ? AND idempotency_key = ? FOR UPDATE',
    [tenantId, key],
  );
  const row = rows[0];
  if (!row) return null;
  if (!row.request_sha256.equals(digest)) throw new Problem('idempotency_key_reused');
  if (row.status === null || row.response === null) throw new Problem('in_progress');
  return { status: row.status, body: row.response, commit: row.commit_gtid };
}

/** For the receipt, before the consumer has seen the commit. The write is durable already: failing here loses only the early view. */
export async function noteCommit(
  { pool, logger }: ApiContext,
  tenantId: string,
  customizationId: string | undefined,
  key: string | null,
  commit: string,
): Promise<void> {
  try {
    if (customizationId !== undefined)
      await pool.query(
        // The GTID with the epoch of the log, as core/gtid.ts writes it.
        `INSERT IGNORE INTO modelwright_control.commits (gtid, tenant_id, customization_id)
         SELECT IF(MAX(epoch) IS NULL, ?, CONCAT(?, '@', MAX(epoch))), ?, ? FROM modelwright_control.log_epochs`,
        [commit, commit, tenantId, customizationId],
      );
    if (key !== null)
      await pool.query('UPDATE modelwright_control.idempotency_keys SET commit_gtid = ? WHERE tenant_id = ? AND idempotency_key = ?', [
        commit,
        tenantId,
        key,
      ]);
  } catch (error) {
    logger.warn({ err: error }, 'a commit could not be noted: its receipt begins when it is sensed');
  }
}

async function send(reply: FastifyReply, status: number, body: Record<string, unknown>, commit: string | null): Promise<unknown> {
  if (commit !== null) void reply.header('Mw-Commit', commit);
  return await reply.code(status).send({ ...body, commit });
}
