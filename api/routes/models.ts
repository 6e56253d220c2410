import type { FastifyInstance } from 'fastify';
import type { ChosenEncoder } from '../../core/dataset.ts';
import type { ModelManifest } from '../../core/model.ts';
import { type AliasesAfter, messageNames } from '../../core/tenant-messages.ts';
import { nowMs, randomUUID } from '../../platform/clock.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { baseManifestFile } from '../../store/base-manifest.ts';
import { readModelManifest } from '../../store/model-manifest.ts';
import { addressesBySite } from '../../store/object-store.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { findCustomization } from '../example-content.ts';
import { page, partsOf } from '../paging.ts';
import { Problem } from '../problems.ts';
import { customizationParams, filesQuery, modelParams, pageQuery, promoteBody, reasonBody } from '../schemas.ts';
import { update } from '../tenant-workflow.ts';
import { idempotencyKeyOf } from '../write.ts';
import { actorOf } from './runs.ts';

type ModelRow = RowDataPacket & {
  version: number;
  run_number: number;
  parent: number | null;
  manifest_key: string;
  manifest_sha256: string;
  manifest_bytes: string;
  bytes: string;
  stored_bytes: string;
  metrics: unknown;
  verdict: unknown;
  published_at: Date;
  withdrawn_at: Date | null;
  removed_at: Date | null;
  damaged_at: Date | null;
  damage: string | null;
  held: string;
  dataset_number: number;
  digest: string;
  row_count: string;
  cut: string;
  base_model: ChosenEncoder | null;
  aliases: string | null;
};

const tags = ['models'];
const select = `SELECT v.*, d.digest, d.row_count, d.cut, d.base_model,
    (SELECT GROUP_CONCAT(a.alias ORDER BY a.alias) FROM modelwright_control.aliases a
     WHERE a.tenant_id = v.tenant_id AND a.customization_id = v.customization_id AND a.version = v.version) AS aliases,
    (SELECT COUNT(*) FROM modelwright_control.model_holds h
     WHERE h.tenant_id = v.tenant_id AND h.customization_id = v.customization_id AND h.version = v.version) AS held
  FROM modelwright_control.model_versions v
  JOIN modelwright_control.datasets d ON d.tenant_id = v.tenant_id AND d.customization_id = v.customization_id AND d.number = v.dataset_number
  WHERE v.tenant_id = ? AND v.customization_id = ?`;

const shown = (row: ModelRow) => ({
  version: row.version,
  run: row.run_number,
  dataset: { number: row.dataset_number, digest: row.digest, rows: Number(row.row_count), cut: row.cut },
  /** Null for versions from before encoders were chosen by language. */
  baseModel: row.base_model,
  metrics: row.metrics,
  verdict: row.verdict,
  aliases: row.aliases?.split(',') ?? [],
  bytes: Number(row.bytes),
  storedBytes: Number(row.stored_bytes),
  parent: row.parent,
  publishedAt: row.published_at.toISOString(),
  ...(row.withdrawn_at ? { withdrawn: row.withdrawn_at.toISOString() } : {}),
  ...(row.removed_at ? { removed: row.removed_at.toISOString() } : {}),
  ...(row.damaged_at ? { damaged: { since: row.damaged_at.toISOString(), detail: row.damage } } : {}),
  ...(Number(row.held) > 0 ? { held: true } : {}),
});

export function modelRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, store } = context;
  const findModel = async (tenantId: string, c: string, version: number): Promise<ModelRow> => {
    const [rows] = await pool.query<ModelRow[]>(`${select} AND v.version = ?`, [tenantId, c, version]);
    if (!rows[0]) throw new Problem('not_found', `there is no version v${version} of ${c}`);
    return rows[0];
  };
  const paramsOf = (params: unknown) => {
    const { c, v } = modelParams.parse(params);
    return { c, version: Number(v.replace(/^v/, '')) };
  };
  const manifestOf = async (row: ModelRow): Promise<ModelManifest> => {
    if (row.removed_at)
      throw new Problem(
        'version_removed',
        `v${row.version} was removed on ${row.removed_at.toISOString()}: its files are not stored any more`,
      );
    return await readModelManifest((ref) => store.read(ref), { key: row.manifest_key, sha256: row.manifest_sha256 });
  };

  app.get(
    '/v1/customizations/:c/models',
    { schema: { tags, summary: 'Published versions, the latest first', params: customizationParams, querystring: pageQuery } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { limit, cursor } = pageQuery.parse(request.query);
      await findCustomization(pool, tenantId, c);
      const before = partsOf(cursor, 1)?.[0] ?? 2 ** 32;
      const [rows] = await pool.query<ModelRow[]>(`${select} AND v.version < ? ORDER BY v.version DESC LIMIT ?`, [
        tenantId,
        c,
        before,
        limit + 1,
      ]);
      return page(rows, limit, shown, (row) => [row.version]);
    },
  );

  app.get('/v1/customizations/:c/models/:v', { schema: { tags, summary: 'One version', params: modelParams } }, async (request) => {
    const { c, version } = paramsOf(request.params);
    return shown(await findModel(tenantOf(request.caller), c, version));
  });

  app.get(
    '/v1/customizations/:c/models/:v/manifest',
    {
      schema: {
        tags,
        summary: 'Tensors, shards and files of a version, those included that it has from its base model',
        params: modelParams,
      },
    },
    async (request) => {
      const { c, version } = paramsOf(request.params);
      return await manifestOf(await findModel(tenantOf(request.caller), c, version));
    },
  );

  app.get(
    '/v1/customizations/:c/models/:v/files',
    {
      schema: {
        tags,
        summary:
          'Addresses of the manifest, of that of its base model, and of every shard and file, valid until `expiresAt` (an hour, or `expiresIn` seconds); `otherUrls`: of the same bytes on another site of the store, `sites`: whose addresses these are, in their order; 410 for a removed version',
        params: modelParams,
        querystring: filesQuery,
      },
    },
    async (request) => {
      const { c, version } = paramsOf(request.params);
      const { expiresIn } = filesQuery.parse(request.query);
      const row = await findModel(tenantOf(request.caller), c, version);
      if (row.withdrawn_at)
        throw new Problem(
          'refused',
          `v${version} of ${c} was withdrawn at ${row.withdrawn_at.toISOString()}: it is not given out any more`,
        );
      const { shards, files, base } = await manifestOf(row);
      const expiresAt = new Date(nowMs() + expiresIn * 1_000).toISOString();
      const parts = [
        ...shards.map((shard) => ({ ...shard, path: `shards/${shard.sha256}.safetensors` })),
        ...files,
        ...(base ? [{ ...base, path: baseManifestFile(base) }] : []),
      ];
      const items = await Promise.all(
        parts.map(async ({ path, sha256, bytes, key }) => ({
          path,
          sha256,
          bytes,
          ...(await addressesBySite(store, 'get', key, expiresIn)),
        })),
      );
      const manifest = {
        sha256: row.manifest_sha256,
        bytes: Number(row.manifest_bytes),
        ...(await addressesBySite(store, 'get', row.manifest_key, expiresIn)),
      };
      return { items, nextCursor: null, manifest, expiresAt };
    },
  );

  app.post(
    '/v1/customizations/:c/models/:v/$promote',
    { schema: { tags, summary: 'Let a version serve', params: modelParams, body: promoteBody } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c, version } = paramsOf(request.params);
      const { force, reason } = promoteBody.parse(request.body ?? {});
      await findModel(tenantId, c, version);
      const asked = { customizationId: c, version, force, reason, actor: actorOf(request.caller) };
      return await update<AliasesAfter>(context, tenantId, messageNames.promoteModel, asked, idempotencyKeyOf(request) ?? randomUUID());
    },
  );

  app.post(
    '/v1/customizations/:c/$rollback',
    { schema: { tags, summary: 'Let the previous version serve again', params: customizationParams, body: reasonBody } },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const { reason } = reasonBody.parse(request.body ?? {});
      await findCustomization(pool, tenantId, c);
      const asked = { customizationId: c, reason, actor: actorOf(request.caller) };
      return await update<AliasesAfter>(context, tenantId, messageNames.rollbackModel, asked, idempotencyKeyOf(request) ?? randomUUID());
    },
  );
}
