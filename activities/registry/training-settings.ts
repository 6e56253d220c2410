import type { BusinessModel, Catalog } from '../../catalog/catalog.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { Json } from '../../core/json.ts';
import type { SourceMapping } from '../../core/source-mapping.ts';
import { optionsDigest, sourceDigest } from '../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { failure } from '../failure.ts';

type SettingsRow = RowDataPacket & {
  business_model: string;
  options: { readonly [name: string]: Json };
  split_salt: string;
  source: SourceMapping | null;
};

/** What a run needs to know of its customization. */
export type TrainingSettings = {
  readonly model: BusinessModel;
  readonly options: { readonly [name: string]: Json };
  readonly optionsDigest: string;
  readonly splitSalt: string;
  /** Null: the examples are kept in our own table. */
  readonly source: SourceMapping | null;
  readonly sourceDigest: string | null;
};

export async function loadTrainingSettings(pool: Pool, catalog: Catalog, key: CustomizationKey): Promise<TrainingSettings> {
  const [rows] = await pool.query<SettingsRow[]>(
    'SELECT business_model, options, split_salt, source FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ?',
    [key.tenantId, key.customizationId],
  );
  const row = rows[0];
  if (!row) throw failure('CustomizationGone', `tenant ${key.tenantId} has no customization ${key.customizationId}: it was deleted`);
  const model = catalog.get(row.business_model);
  if (!model)
    throw failure(
      'BadOptions',
      `business model ${row.business_model} is not in this worker's catalogue: ${[...catalog.keys()].join(', ')}`,
    );
  const { options, source } = row;
  return {
    model,
    options,
    optionsDigest: optionsDigest(options),
    splitSalt: row.split_salt,
    source,
    sourceDigest: source && sourceDigest(source),
  };
}
