import type { Connection } from 'mysql2';
import mysql, { type Pool, type PoolConnection, type RowDataPacket } from 'mysql2/promise';
import type { Config } from './config.ts';

export type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise';

/**
 * A connection pool with the settings that the whole project relies on: UTC, BIGINT as string, JSON as text where asked by the query,
 * and the commit's GTID returned with every write (`session_track_gtids=OWN_GTID`, see `commitGtid`).
 */
export function createPool(config: Pick<Config, 'mysql'>, options: { readonly connectionLimit?: number } = {}): Pool {
  const pool = mysql.createPool({
    ...config.mysql,
    connectionLimit: options.connectionLimit ?? 8,
    timezone: 'Z',
    supportBigNumbers: true,
    bigNumberStrings: true,
    charset: 'utf8mb4_bin',
    connectTimeout: 5_000,
    enableKeepAlive: true,
  });
  // The statement is queued before anything that the caller sends on the new connection.
  pool.pool.on('connection', (connection) => void connection.query("SET SESSION session_track_gtids = 'OWN_GTID', time_zone = '+00:00'"));
  return pool;
}

/** The GTID of the commit that this answer acknowledged, `uuid:number`; null if the statement committed nothing. */
export function commitGtid(header: unknown): string | null {
  const changes = (header as { stateChanges?: { gtids?: string[] } } | null)?.stateChanges;
  return changes?.gtids?.at(-1) ?? null;
}

/** MySQL answers that say «try the transaction again»: deadlock, lock wait timeout. */
export const isContention = (error: unknown): boolean =>
  ['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT'].includes((error as { code?: string } | null)?.code ?? '');

/** The server is away or going, or has given this connection up: nothing is known to be wrong with the statement. */
export const isUnavailable = (error: unknown): boolean => {
  const { code, message } = (error ?? {}) as { readonly code?: string; readonly message?: string };
  return (
    /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|PROTOCOL_CONNECTION_LOST|PROTOCOL_ENQUEUE_AFTER_FATAL_ERROR|ER_SERVER_SHUTDOWN|ER_CON_COUNT_ERROR|ER_CLIENT_INTERACTION_TIMEOUT)$/.test(
      code ?? '',
    ) ||
    // mysql2 has no code for a statement on a connection whose end it has seen.
    message?.endsWith('connection is in closed state') === true
  );
};

/** Rows as they arrive, at most `ahead` of them in memory. */
export function streamRows<T extends RowDataPacket>(
  connection: PoolConnection,
  sql: string,
  values: readonly unknown[],
  ahead = 256,
): AsyncIterable<T> {
  // The promise wrapper has no streams: the connection under it has.
  const plain = (connection as unknown as { connection: Connection }).connection;
  return plain.query(sql, [...values]).stream({ highWaterMark: ahead });
}
