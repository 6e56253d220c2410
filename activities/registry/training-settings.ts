import type { BusinessModel, Catalog } from '../../catalog/catalog.ts';
import type { CustomizationKey } from '../../core/ids.ts';
import type { Json } from '../../core/json.ts';
import { optionsDigest } from '../../platform/hash.ts';
import type { Pool, RowDataPacket } from '../../platform/mysql.ts';
import { failure } from '../failure.ts';

type SettingsRow = RowDataPacket & { business_model: string; options: { readonly [name: string]: Json }; split_salt: string };

/** What a run needs to know of its customization. */
export type TrainingSettings = {
  readonly model: BusinessModel;
  readonly options: { readonly [name: string]: Json };
  readonly optionsDigest: string;
  readonly splitSalt: string;
};

export async function loadTrainingSettings(pool: Pool, catalog: Catalog, key: CustomizationKey): Promise<TrainingSettings> {
  const [rows] = await pool.query<SettingsRow[]>(
    'SELECT business_model, options, split_salt FROM modelwright.customizations WHERE tenant_id = ? AND customization_id = ?',
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
  return { model, options: row.options, optionsDigest: optionsDigest(row.options), splitSalt: row.split_salt };
}
