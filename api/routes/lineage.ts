import type { FastifyInstance } from 'fastify';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { DatasetReader } from '../../store/lineage.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { findCustomization } from '../example-content.ts';
import { cursorAfter, partsOf } from '../paging.ts';
import { Problem } from '../problems.ts';
import { exampleParams, modelParams, pageQuery } from '../schemas.ts';

type VersionRow = RowDataPacket & {
  version: number;
  model_manifest_sha256: string;
  published_at: Date;
  withdrawn_at: Date | null;
  dataset_removed_at: Date | null;
  manifest_key: string;
  manifest_sha256: string;
};

const tags = ['lineage'];
const select = `SELECT v.version, v.manifest_sha256 AS model_manifest_sha256, v.published_at, v.withdrawn_at,
    d.removed_at AS dataset_removed_at, d.manifest_key, d.manifest_sha256
  FROM modelwright_control.model_versions v
  JOIN modelwright_control.datasets d ON d.tenant_id = v.tenant_id AND d.customization_id = v.customization_id AND d.number = v.dataset_number
  WHERE v.tenant_id = ? AND v.customization_id = ?`;

/** Which examples a version learned, and which versions learned an example: with a proof that needs no trust in this server. */
export function lineageRoutes(app: FastifyInstance, { pool, store }: ApiContext): void {
  app.get(
    '/v1/customizations/:c/models/:v/examples',
    {
      schema: {
        tags,
        summary: 'Examples that a version learned, with the digests of their lines',
        params: modelParams,
        querystring: pageQuery,
      },
    },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c, v } = modelParams.parse(request.params);
      const { limit, cursor } = pageQuery.parse(request.query);
      const version = Number(v.replace(/^v/, ''));
      const [found] = await pool.query<VersionRow[]>(`${select} AND v.version = ?`, [tenantId, c, version]);
      if (!found[0]) throw new Problem('not_found', `there is no version v${version} of ${c}`);
      if (found[0].dataset_removed_at)
        throw new Problem('version_removed', `v${version} was removed, and its dataset on ${found[0].dataset_removed_at.toISOString()}`);
      const reader = new DatasetReader(store);
      const manifest = await reader.manifest({ key: found[0].manifest_key, sha256: found[0].manifest_sha256 });
      const [bucket, row] = (partsOf(cursor, 2) ?? [0, 0]).map(Number);
      let at = { bucket: bucket ?? 0, row: row ?? 0 };
      const items: { readonly id: string; readonly digest: string; readonly split: string }[] = [];
      for (let known = manifest.buckets[at.bucket]; known && items.length < limit; known = manifest.buckets[at.bucket]) {
        const rows = (await reader.rows(known)).slice(at.row, at.row + limit - items.length);
        items.push(...rows.map(({ id, digest, split }) => ({ id, digest, split })));
        const next = at.row + rows.length;
        at = next < known.rows ? { bucket: at.bucket, row: next } : { bucket: at.bucket + 1, row: 0 };
      }
      const { number, digest, rows } = manifest;
      const more = at.bucket < manifest.buckets.length;
      return { version, dataset: { number, digest, rows }, items, nextCursor: more ? cursorAfter([at.bucket, at.row]) : null };
    },
  );

  app.get(
    '/v1/customizations/:c/examples/:exampleId/models',
    {
      schema: {
        tags,
        summary: 'Versions that learned an example, the latest first, each with a Merkle proof; also of an example that was deleted since',
        params: exampleParams,
        querystring: pageQuery,
      },
    },
    async (request) => {
      const tenantId = tenantOf(request.caller);
      const { c, exampleId } = exampleParams.parse(request.params);
      const { limit, cursor } = pageQuery.parse(request.query);
      await findCustomization(pool, tenantId, c);
      const before = partsOf(cursor, 1)?.[0] ?? 2 ** 32;
      const [versions] = await pool.query<VersionRow[]>(`${select} AND v.version < ? ORDER BY v.version DESC LIMIT ?`, [
        tenantId,
        c,
        before,
        limit + 1,
      ]);
      const reader = new DatasetReader(store);
      const items = [];
      for (const row of versions.slice(0, limit)) {
        // What it learned is not stored any more: nothing can be proven of it.
        if (row.dataset_removed_at) continue;
        const manifest = await reader.manifest({ key: row.manifest_key, sha256: row.manifest_sha256 });
        const proof = await reader.proofOf(manifest, exampleId);
        if (proof)
          items.push({
            version: row.version,
            ...proof,
            modelManifestSha256: row.model_manifest_sha256,
            publishedAt: row.published_at.toISOString(),
            ...(row.withdrawn_at ? { withdrawn: row.withdrawn_at.toISOString() } : {}),
          });
      }
      const last = versions[limit - 1];
      return { exampleId, items, nextCursor: versions.length > limit && last ? cursorAfter([last.version]) : null };
    },
  );
}
