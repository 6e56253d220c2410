import { timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { randomBytes } from '../platform/clock.ts';
import { sha256Hex } from '../platform/hash.ts';
import type { Pool, PoolConnection, RowDataPacket } from '../platform/mysql.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problems.ts';

/** Whose key came with the request. */
export type Caller = { readonly kind: 'operator' } | { readonly kind: 'tenant'; readonly tenantId: string; readonly keyId: string };

const keyBytes = 32;
const keyIdBytes = 8;

const digestOf = (key: string): Buffer => Buffer.from(sha256Hex(key), 'hex');

/** The caller by its key. Keys are looked up by their digest; the operator's is compared in constant time. */
export async function callerOf({ pool, config }: ApiContext, request: FastifyRequest): Promise<Caller> {
  const key = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (key === undefined) throw new Problem('unauthorized');
  if (timingSafeEqual(digestOf(key), digestOf(config.operatorKey))) return { kind: 'operator' };
  const [rows] = await pool.query<(RowDataPacket & { key_id: string; tenant_id: string })[]>(
    'SELECT key_id, tenant_id FROM modelwright_control.api_keys WHERE key_sha256 = ? AND revoked_at IS NULL',
    [digestOf(key)],
  );
  const row = rows[0];
  if (!row) throw new Problem('unauthorized', 'the key is not known, or was revoked');
  return { kind: 'tenant', tenantId: row.tenant_id, keyId: row.key_id };
}

/** A new key of a tenant; only its digest is kept. */
export async function issueKey(connection: Pool | PoolConnection, tenantId: string): Promise<{ keyId: string; key: string }> {
  const key = `mwk_${randomBytes(keyBytes).toString('base64url')}`;
  const keyId = randomBytes(keyIdBytes).toString('hex');
  await connection.query("INSERT INTO modelwright_control.api_keys (key_id, key_sha256, tenant_id, role) VALUES (?, ?, ?, 'admin')", [
    keyId,
    digestOf(key),
    tenantId,
  ]);
  return { keyId, key };
}

export function tenantOf(caller: Caller | undefined): string {
  if (caller?.kind === 'tenant') return caller.tenantId;
  throw new Problem('forbidden', 'this route belongs to a tenant: use a tenant key');
}

export function operatorOnly(caller: Caller | undefined): void {
  if (caller?.kind !== 'operator') throw new Problem('forbidden', 'this route is for the operator key');
}
