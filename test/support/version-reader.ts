import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CustomizationKey } from '../../core/ids.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { createModelStore } from '../../predictor/model-store.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { float32Of, parseSafetensors, tensorBytes } from '../../store/safetensors.ts';
import { markOf, publishersTrust } from './publish-scene.ts';

type VersionRow = RowDataPacket & { version: number; run_number: number; attempt: number; alias: string | null };

/**
 * Reads versions as the predictor does, and throws unless each is whole and of one attempt. Of an object whose bytes have been verified once it is
 * only asked whether it is still there in full size: bytes do not change when publishers die.
 */
export class VersionReader {
  readonly #pool: Pool;
  readonly #store: ObjectStore;
  readonly #verified = new Map<string, Uint8Array>();
  checks = 0;

  constructor(pool: Pool, store: ObjectStore) {
    this.#pool = pool;
    this.#store = {
      ...store,
      read: async (ref) => {
        const known = this.#verified.get(ref.key);
        if (known && (await store.size(ref.key)) === known.byteLength) return known;
        const bytes = await store.read(ref);
        this.#verified.set(ref.key, bytes);
        return bytes;
      },
    };
  }

  /** Whatever was verified is read again. */
  forget(): void {
    this.#verified.clear();
  }

  /** The version that serves and the run that it is of; both null before there is one. All that exist are checked where `all` is set. */
  async check({ tenantId, customizationId }: CustomizationKey, all = false): Promise<{ version: number | null; run: number | null }> {
    const [rows] = await this.#pool.query<VersionRow[]>(
      `SELECT v.version, v.run_number, v.attempt, a.alias FROM modelwright_control.model_versions v
       LEFT JOIN modelwright_control.aliases a
         ON a.tenant_id = v.tenant_id AND a.customization_id = v.customization_id AND a.version = v.version AND a.alias = 'production'
       WHERE v.tenant_id = ? AND v.customization_id = ? ORDER BY v.version DESC`,
      [tenantId, customizationId],
    );
    rows.forEach(({ version }, i) => {
      if (version !== rows.length - i) throw new Error(`the versions of ${customizationId} are not 1 to ${rows.length}`);
    });
    const serving = rows.find(({ alias }) => alias === 'production');
    const folder = await mkdtemp(join(tmpdir(), 'mw-reader-'));
    try {
      const models = createModelStore(this.#pool, this.#store, folder, publishersTrust);
      for (const row of all ? rows : rows.filter((each) => each === rows[0] || each === serving)) {
        const manifest = await models.manifest({ tenantId, customizationId }, row.version);
        if (manifest.version !== row.version || manifest.run !== row.run_number) throw new Error(`v${row.version} has another's manifest`);
        const parts = await Promise.all(
          [...manifest.shards, ...manifest.files].map(async (part) => [part.sha256, await models.bytes(part)] as const),
        );
        const bytes = new Map(parts);
        const at = manifest.tensors['classifier.weight'];
        const shard = bytes.get(at?.shard ?? '');
        if (!shard) throw new Error(`v${row.version} has no head`);
        const parsed = parseSafetensors(shard);
        const info = parsed.tensors.get('classifier.weight');
        const mark = info ? float32Of(tensorBytes(shard, parsed, info), 'F32', 'classifier.weight')[0] : undefined;
        if (mark !== markOf({ run: row.run_number, attempt: row.attempt }))
          throw new Error(`v${row.version} is of run ${row.run_number}, attempt ${row.attempt}, and its weights are marked ${mark}`);
        this.checks++;
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return { version: serving?.version ?? null, run: serving?.run_number ?? null };
  }
}
