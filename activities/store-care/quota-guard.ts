import type { TenantQuotas } from '../../core/quotas.ts';
import type { StorageUse } from '../../core/store-care.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { tenantPrefix } from '../../store/keys.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { storageUse } from '../../store/storage-use.ts';
import { failure } from '../failure.ts';

/** What counts: staged objects go with their run, and what all tenants share is nobody's. */
const counted = ({ datasets, models }: StorageUse): number => datasets.bytes + models.bytes;

const megabytes = (bytes: number): string => `${(bytes / 1_000_000).toFixed(1)} MB`;

async function quotaOf(pool: Pool, tenantId: string): Promise<number | null> {
  const [rows] = await pool.query<(RowDataPacket & { quotas: TenantQuotas })[]>(
    'SELECT quotas FROM modelwright_control.tenants WHERE tenant_id = ?',
    [tenantId],
  );
  return rows[0]?.quotas.storageBytes ?? null;
}

const refusal = (quota: number, use: StorageUse, more: number) =>
  failure(
    'StorageQuota',
    `the version was not published: the tenant may have ${megabytes(quota)} in the store (quota storageBytes). Its datasets take ` +
      `${megabytes(use.datasets.bytes)}, its models ${megabytes(use.models.bytes)}` +
      `${more > 0 ? `, and this one would add ${megabytes(more)} at least` : ''}. ` +
      'Delete customizations that are not needed any more, or let the operator raise the quota or keep fewer versions (MW_KEEP_VERSIONS)',
  );

/**
 * Publishes within the tenant's quota. Each object is weighed before it is stored, so that a tenant never has more than its quota; and all of it is
 * counted once more at the end, so that of two versions that are stored at once and would fit only alone, one is refused at least.
 */
export async function withinQuota<T>(
  pool: Pool,
  store: ObjectStore,
  tenantId: string,
  work: (guarded: ObjectStore) => Promise<T>,
): Promise<T> {
  const quota = await quotaOf(pool, tenantId);
  if (quota === null) return await work(store);
  const before = await storageUse(store, tenantId);
  let left = quota - counted(before);
  const weigh = async (key: string, bytes: number): Promise<void> => {
    if (!key.startsWith(tenantPrefix(tenantId)) || (await store.size(key)) !== null) return;
    if (bytes > left) throw refusal(quota, before, quota - counted(before) - left + bytes);
    left -= bytes;
  };
  const result = await work({
    ...store,
    putContent: async (key, bytes, sha256) => {
      await weigh(key, bytes.byteLength);
      return await store.putContent(key, bytes, sha256);
    },
    putContentStream: async (key, source) => {
      await weigh(key, source.bytes);
      return await store.putContentStream(key, source);
    },
    putNew: async (key, bytes) => {
      await weigh(key, bytes.byteLength);
      return await store.putNew(key, bytes);
    },
  });
  const after = await storageUse(store, tenantId);
  if (counted(after) > quota) throw refusal(quota, after, 0);
  return result;
}
