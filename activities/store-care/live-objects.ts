import type { DatasetManifest } from '../../core/dataset.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { BaseManifest, GateVerdict, StoredManifest } from '../../core/model.ts';
import { endedRunStates } from '../../core/run.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { baseManifestOf, parseStoredManifest, withBase } from '../../store/model-manifest.ts';
import { CorruptObject, ObjectMissing, type ObjectStore } from '../../store/object-store.ts';
import type { Retired } from './retire-customization.ts';

/** A version or a dataset that refers to an object. */
export type Owner = CustomizationKey & { readonly what: 'version' | 'dataset'; readonly number: number };
export type LiveObject = { readonly key: string; readonly sha256: string; readonly owners: readonly Owner[] };

/** Everything that the registry's versions, datasets and runs of a tenant refer to. */
export type LiveObjects = {
  readonly objects: ReadonlyMap<string, LiveObject>;
  /** Manifests that cannot be read: what they refer to is not known. */
  readonly unreadable: readonly (Owner & { readonly reason: string })[];
};

type ManifestRow = RowDataPacket & {
  customization_id: string;
  number: number;
  manifest_key: string;
  manifest_sha256: string;
  verdict?: GateVerdict;
};
type VerdictRow = RowDataPacket & { customization_id: string; number: number; verdict: GateVerdict };

/** Judgements of so many runs of each customization keep their details, whether a version came of them or not. */
const keptJudgements = 50;

/** `without`: versions and datasets that are taken as removed already, by customization. Fails with StoreUnavailable, never with damage. */
export async function liveObjects(
  { pool, store, beat }: { readonly pool: Pool; readonly store: ObjectStore; readonly beat: () => void },
  tenantId: string,
  without: ReadonlyMap<string, Retired> = new Map(),
): Promise<LiveObjects> {
  const objects = new Map<string, { key: string; sha256: string; owners: Owner[] }>();
  const unreadable: (Owner & { reason: string })[] = [];
  const add = ({ key, sha256 }: { readonly key: string; readonly sha256: string }, owner: Owner | null): void => {
    const known = objects.get(key) ?? { key, sha256, owners: [] };
    objects.set(key, known);
    if (owner) known.owners.push(owner);
  };
  // Most versions of a tenant are on few base models.
  const bases = new Map<string, BaseManifest | null>();
  const baseOf = async (manifest: StoredManifest): Promise<BaseManifest | null> => {
    const { base, encoder } = manifest;
    const name = base ? `${base.sha256} ${base.bytes} ${base.key} ${encoder.name}` : '';
    const found = bases.get(name) ?? (await baseManifestOf((ref) => store.read(ref), manifest));
    bases.set(name, found);
    return found;
  };
  const walk = async (
    what: Owner['what'],
    rows: readonly ManifestRow[],
    parts: (bytes: Uint8Array, key: string, owner: Owner) => Promise<readonly Part[]>,
  ): Promise<void> => {
    for (const row of rows) {
      const gone = without.get(row.customization_id)?.[what === 'version' ? 'versions' : 'datasets'];
      if (gone?.includes(row.number)) continue;
      beat();
      const owner: Owner = { tenantId, customizationId: row.customization_id, what, number: row.number };
      const ref = { key: row.manifest_key, sha256: row.manifest_sha256 };
      add(ref, owner);
      // A version serves without the details of its judgement: they are kept, and no damage of theirs is its own.
      if (row.verdict?.details) add(row.verdict.details, null);
      try {
        for (const part of await parts(await store.read(ref), ref.key, owner)) add(part, owner);
      } catch (error) {
        if (!(error instanceof CorruptObject || error instanceof ObjectMissing)) throw error;
        unreadable.push({ ...owner, reason: error.message });
      }
    }
  };
  const [versions] = await pool.query<ManifestRow[]>(
    `SELECT customization_id, version AS number, manifest_key, manifest_sha256, verdict FROM modelwright_control.model_versions
     WHERE tenant_id = ? AND removed_at IS NULL ORDER BY customization_id, version`,
    [tenantId],
  );
  await walk('version', versions, async (bytes, key, owner) => {
    const manifest = parseStoredManifest(bytes, key);
    // Needed, and looked after, also where it cannot be read.
    if (manifest.base) add(manifest.base, owner);
    for (const part of [...manifest.shards, ...manifest.files]) add(part, owner);
    const base = await baseOf(manifest);
    return base ? ofBase(manifest, base) : [];
  });
  const [datasets] = await pool.query<ManifestRow[]>(
    `SELECT customization_id, number, manifest_key, manifest_sha256 FROM modelwright_control.datasets
     WHERE tenant_id = ? AND removed_at IS NULL ORDER BY customization_id, number`,
    [tenantId],
  );
  await walk('dataset', datasets, (bytes) =>
    Promise.resolve((JSON.parse(Buffer.from(bytes).toString('utf8')) as DatasetManifest).buckets.map(({ ref }) => ref)),
  );
  const [verdicts] = await pool.query<VerdictRow[]>(
    `SELECT customization_id, number, verdict FROM (
       SELECT r.customization_id, r.number, r.verdict, r.state, ROW_NUMBER() OVER (PARTITION BY r.customization_id ORDER BY r.number DESC) AS nth
       FROM modelwright_control.runs r
       JOIN modelwright.customizations c ON c.tenant_id = r.tenant_id AND c.customization_id = r.customization_id
       WHERE r.tenant_id = ? AND r.verdict IS NOT NULL
     ) judged WHERE nth <= ${keptJudgements} OR state NOT IN (?)`,
    [tenantId, endedRunStates],
  );
  for (const { verdict } of verdicts) if (verdict.details) add(verdict.details, null);
  return { objects, unreadable };
}

type Part = { readonly key: string; readonly sha256: string };

/** What a version has from its base model. */
function ofBase(own: StoredManifest, base: BaseManifest): Part[] {
  const { shards, files } = withBase(own, base);
  return [...shards, ...files].filter(({ scope }) => scope === 'base');
}
