import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { Problem } from '../problems.ts';

type KeyRow = RowDataPacket & {
  request_sha256: Buffer;
  status: number | null;
  response: Record<string, unknown> | null;
  commit_gtid: string | null;
};

const unfinished = Buffer.alloc(32);

/**
 * An import is many transactions, so its key is marked before the first and completed after the last. One that broke off has no answer:
 * it is done again, and rows with the same ids are stored once.
 */
export async function beginImport(
  pool: Pool,
  tenantId: string,
  key: string,
): Promise<{ readonly commit: string | null; readonly replay: (digest: Buffer) => Record<string, unknown> } | null> {
  await pool.query(
    'INSERT IGNORE INTO modelwright_control.idempotency_keys (tenant_id, idempotency_key, request_sha256) VALUES (?, ?, ?)',
    [tenantId, key, unfinished],
  );
  const [rows] = await pool.query<KeyRow[]>(
    'SELECT request_sha256, status, response, commit_gtid FROM modelwright_control.idempotency_keys WHERE tenant_id = ? AND idempotency_key = ?',
    [tenantId, key],
  );
  const row = rows[0];
  if (!row || row.status === null || row.response === null) return null;
  const { response, request_sha256, commit_gtid } = row;
  return {
    commit: commit_gtid,
    replay: (digest) => {
      if (!digest.equals(request_sha256)) throw new Problem('idempotency_key_reused');
      return response;
    },
  };
}

export async function endImport(
  pool: Pool,
  tenantId: string,
  key: string,
  digest: Buffer,
  answer: Record<string, unknown> & { readonly commit: string | null },
): Promise<void> {
  await pool.query(
    'UPDATE modelwright_control.idempotency_keys SET request_sha256 = ?, status = 200, response = ?, commit_gtid = ? WHERE tenant_id = ? AND idempotency_key = ?',
    [digest, JSON.stringify(answer), answer.commit, tenantId, key],
  );
}
