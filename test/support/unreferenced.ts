import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { readModelManifest } from '../../store/model-manifest.ts';
import type { ObjectStore } from '../../store/object-store.ts';

type ManifestRow = RowDataPacket & { manifest_key: string; manifest_sha256: string };

/** Shards, files and manifests of models, of tenants and of bases. */
const ofModels = /^(tenants\/[^/]+\/(shards|files)\/|tenants\/[^/]+\/[^/]+\/models\/|base\/)/;

/**
 * By brute force: every object of a model that no registered version refers to, and every one that a version refers to and that is not there.
 * A version that was withdrawn refers to nothing.
 */
export async function unreferenced(
  pool: Pool,
  store: ObjectStore,
): Promise<{ readonly orphans: ReadonlyMap<string, number>; readonly missing: readonly string[]; readonly live: ReadonlySet<string> }> {
  const [rows] = await pool.query<ManifestRow[]>(
    'SELECT manifest_key, manifest_sha256 FROM modelwright_control.model_versions WHERE withdrawn_at IS NULL',
  );
  const live = new Set<string>();
  for (const { manifest_key: key, manifest_sha256: sha256 } of rows) {
    const manifest = await readModelManifest((ref) => store.read(ref), { key, sha256 });
    live.add(key);
    for (const part of [...manifest.shards, ...manifest.files]) live.add(part.key);
    if (manifest.base) live.add(manifest.base.key);
  }
  const stored = new Map<string, number>();
  for (const prefix of ['tenants/', 'base/'])
    for await (const { key, bytes } of store.list(prefix)) if (ofModels.test(key)) stored.set(key, bytes);
  return {
    orphans: new Map([...stored].filter(([key]) => !live.has(key))),
    missing: [...live].filter((key) => !stored.has(key)),
    live,
  };
}
