import { createWriteStream } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { CustomizationKey } from '../core/ids.ts';
import type { ModelManifest } from '../core/model.ts';
import { randomUUID } from '../platform/clock.ts';
import { sha256Hex } from '../platform/hash.ts';
import type { Pool, RowDataPacket } from '../platform/mysql.ts';
import { sha256OfFile } from '../store/encoder-folder.ts';
import { parseStoredManifest, wholeManifest } from '../store/model-manifest.ts';
import { type Trust, checkSignature } from '../store/model-signature.ts';
import { CorruptObject, ObjectMissing, type ObjectStore, StoreUnavailable } from '../store/object-store.ts';

type VersionRow = RowDataPacket & { manifest_key: string; manifest_sha256: string; withdrawn_at: Date | null; removed_at: Date | null };

/** The version does not exist, or must not serve. */
export class NoSuchVersion extends Error {
  override name = 'NoSuchVersion';
}

/** Published versions, read from the registry and the store, with a cache on disk that is verified when it is read. */
export type ModelStore = {
  /** Throws NoSuchVersion, and UntrustedModel where the signature is missing, wrong or of an unknown key. */
  manifest(key: CustomizationKey, version: number): Promise<ModelManifest>;
  /** A shard or file: the bytes have the SHA-256 asked for, wherever they came from. */
  bytes(part: { readonly key: string; readonly sha256: string }): Promise<Buffer>;
  /** The same as a local file, for libraries that map files into memory. */
  file(part: { readonly key: string; readonly sha256: string }): Promise<string>;
};

/** One with a cache on disk: where that keeps the bytes with a digest, whether it has them or not. */
export type CachedModelStore = ModelStore & {
  readonly cachePath: (sha256: string) => string;
  /** Removes from the cache what was written before that time (Unix epoch milliseconds); it is read again when it is asked for. */
  readonly dropCachedBefore: (beforeMs: number) => Promise<void>;
};

/** `trust`: whose signatures are good. A version that somebody else signed, or that was changed since, is not read. */
export function createModelStore(pool: Pool, store: ObjectStore, cacheDir: string, trust: Trust): CachedModelStore {
  const path = (sha256: string): string => join(cacheDir, sha256.slice(0, 2), sha256);
  const bytes = async ({ key, sha256 }: { readonly key: string; readonly sha256: string }): Promise<Buffer> => {
    const cached = await readFile(path(sha256)).catch(() => null);
    if (cached && sha256Hex(cached) === sha256) return cached;
    const read = Buffer.from(await store.read({ key, sha256 }));
    await mkdir(dirname(path(sha256)), { recursive: true });
    const temporary = `${path(sha256)}.${randomUUID()}`;
    await writeFile(temporary, read);
    await rename(temporary, path(sha256));
    return read;
  };
  const fetchFile = async (key: string, sha256: string): Promise<void> => {
    const temporary = `${path(sha256)}.${randomUUID()}`;
    try {
      await pipeline(await store.stream(key), createWriteStream(temporary)).catch((error: unknown) => {
        throw error instanceof ObjectMissing ? error : new StoreUnavailable(`reading ${key} broke off`, { cause: error });
      });
      if ((await sha256OfFile(temporary)) !== sha256)
        throw new CorruptObject(`${key} does not have the SHA-256 ${sha256} that its reference names`);
      await rename(temporary, path(sha256));
    } finally {
      await rm(temporary, { force: true });
    }
  };
  return {
    bytes,
    cachePath: path,
    dropCachedBefore: async (beforeMs) => {
      const entries = await readdir(cacheDir, { recursive: true, withFileTypes: true }).catch(() => []);
      for (const entry of entries) {
        const file = join(entry.parentPath, entry.name);
        // One that goes meanwhile is gone.
        if (entry.isFile() && ((await stat(file).catch(() => null))?.mtimeMs ?? beforeMs) < beforeMs) await rm(file, { force: true });
      }
    },
    file: async ({ key, sha256 }) => {
      // In pieces: an encoder would be in memory twice more while it is loaded, and the memory would stay with the process.
      if ((await sha256OfFile(path(sha256)).catch(() => null)) === sha256) return path(sha256);
      await mkdir(dirname(path(sha256)), { recursive: true });
      for (let sitesLeft = (store.sites ?? [null]).length - 1; ; sitesLeft -= 1) {
        try {
          await fetchFile(key, sha256);
          break;
        } catch (error) {
          // What one site had wrong comes from the other the next time.
          if (!(error instanceof CorruptObject) || sitesLeft === 0) throw error;
        }
      }
      return path(sha256);
    },
    manifest: async ({ tenantId, customizationId }, version) => {
      const [rows] = await pool.query<VersionRow[]>(
        `SELECT manifest_key, manifest_sha256, withdrawn_at, removed_at FROM modelwright_control.model_versions
         WHERE tenant_id = ? AND customization_id = ? AND version = ?`,
        [tenantId, customizationId, version],
      );
      const row = rows[0];
      if (!row) throw new NoSuchVersion(`customization ${customizationId} has no version v${version}`);
      if (row.withdrawn_at) throw new NoSuchVersion(`v${version} of ${customizationId} was withdrawn`);
      if (row.removed_at)
        throw new NoSuchVersion(
          `v${version} of ${customizationId} was removed from the store: only the newest versions are kept, and those that serve or are held`,
        );
      const manifest = parseStoredManifest(await bytes({ key: row.manifest_key, sha256: row.manifest_sha256 }), row.manifest_key);
      checkSignature(manifest, trust);
      return await wholeManifest(bytes, manifest);
    },
  };
}
