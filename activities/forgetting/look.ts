import { type ForgettingFacts, type ForgettingKey, nextForgettingStep } from '../../core/forgetting.ts';
import { endedRunStates } from '../../core/run.ts';
import type { SourceMapping } from '../../core/source-mapping.ts';
import { bucketOf } from '../../platform/hash.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { SourceUnreadable, openMappedTable } from '../../sources/mapped-table.ts';
import type { ForgettingActivities } from '../ports.ts';
import type { ForgettingDependencies } from './forgetting-activities.ts';
import { type Forgetting, loadForgetting, noteState } from './forgettings.ts';
import { findLearnedRows } from './learned-rows.ts';

type Flag = string | number;
type VersionRow = RowDataPacket & { version: number; held: Flag };
type RunRow = RowDataPacket & { number: number; dataset_number: number | null; old: Flag; paused: Flag };
type CustomizationRow = RowDataPacket & { business_model: string; source: SourceMapping | null };

const scope = 'tenant_id = ? AND customization_id = ?';
const truth = (flag: Flag): boolean => Number(flag) === 1;

/** Looks what still holds the rows, and says what comes next. Key: none; it is asked again. */
export async function lookForgetting(
  dependencies: ForgettingDependencies,
  key: ForgettingKey,
): ReturnType<ForgettingActivities['lookForgetting']> {
  const { pool } = dependencies;
  const known = await loadForgetting(pool, key);
  if (known.certificate) return { next: 'done' };
  const forgetting = await findLearnedRows(dependencies, key, known);
  const step = nextForgettingStep(await factsOf(dependencies, key, forgetting));
  if (step.next === 'wait') await noteState(pool, key, step.state, step.waitsFor);
  return step;
}

async function factsOf(dependencies: ForgettingDependencies, key: ForgettingKey, forgetting: Forgetting): Promise<ForgettingFacts> {
  const { pool } = dependencies;
  const id = [key.tenantId, key.customizationId];
  const [customizations] = await pool.query<CustomizationRow[]>(
    `SELECT business_model, source FROM modelwright.customizations WHERE ${scope}`,
    id,
  );
  const [present] = await pool.query<(RowDataPacket & { number: number; digest: string })[]>(
    `SELECT number, digest FROM modelwright_control.datasets WHERE ${scope} AND removed_at IS NULL ORDER BY number`,
    id,
  );
  const holding = present.filter(({ number }) => forgetting.datasets[number] !== false).map(({ number }) => number);
  const inHolding = [0, ...holding];
  // A run may learn from one that is withdrawn already.
  const learned = Object.keys(forgetting.datasets).filter((number) => forgetting.datasets[number]);
  const [versions] = await pool.query<VersionRow[]>(
    `SELECT v.version, EXISTS (SELECT 1 FROM modelwright_control.model_holds h WHERE h.tenant_id = v.tenant_id
       AND h.customization_id = v.customization_id AND h.version = v.version) AS held
     FROM modelwright_control.model_versions v
     WHERE v.tenant_id = ? AND v.customization_id = ? AND v.removed_at IS NULL AND v.dataset_number IN (?) ORDER BY v.version`,
    [...id, inHolding],
  );
  const [aliases] = await pool.query<VersionRow[]>(
    `SELECT version FROM modelwright_control.aliases WHERE ${scope} AND alias = 'production'`,
    id,
  );
  const [runs] = await pool.query<RunRow[]>(
    `SELECT number, dataset_number, created_at <= ? + INTERVAL 1 MINUTE AS old, paused IS NOT NULL AS paused
     FROM modelwright_control.runs WHERE ${scope} AND state NOT IN (?) AND (dataset_number IS NULL OR dataset_number IN (?)) ORDER BY number`,
    [forgetting.askedAt, ...id, endedRunStates, [...inHolding, ...learned.map(Number)]],
  );
  const latest = present.at(-1);
  const [equal] = await pool.query<VersionRow[]>(
    `SELECT v.version FROM modelwright_control.model_versions v
     JOIN modelwright_control.datasets d ON d.tenant_id = v.tenant_id AND d.customization_id = v.customization_id AND d.number = v.dataset_number
     WHERE v.tenant_id = ? AND v.customization_id = ? AND v.withdrawn_at IS NULL AND v.removed_at IS NULL AND v.damaged_at IS NULL
       AND v.verdict->>'$.verdict' = 'promote' AND d.digest = ? AND d.number NOT IN (?) ORDER BY v.version DESC LIMIT 1`,
    [...id, latest?.digest ?? '', inHolding],
  );
  const row = customizations[0];
  return {
    deadlinePassed: forgetting.deadlinePassed,
    exists: row !== undefined,
    rowsInTable: row ? await rowsInTable(dependencies, key, row, forgetting.exampleIds) : [],
    versions: versions.map(({ version, held }) => ({ version, held: truth(held) })),
    datasets: holding,
    unread: holding.filter((number) => forgetting.datasets[number] === 'unread'),
    production: aliases[0]?.version ?? null,
    latestDataset: latest?.number ?? null,
    runs: runs.map(({ number, dataset_number, old, paused }) => ({
      run: number,
      dataset: dataset_number,
      old: truth(old),
      paused: truth(paused),
    })),
    equalVersion: latest && !holding.includes(latest.number) ? (equal[0]?.version ?? null) : null,
  };
}

/** Those of the ids that the table has now: forgetting waits until they are deleted there, or it would never end. */
async function rowsInTable(
  { pool, catalog, maxTextChars, beat }: ForgettingDependencies,
  { tenantId, customizationId }: ForgettingKey,
  { business_model, source }: CustomizationRow,
  ids: readonly string[],
): Promise<string[]> {
  if (ids.length === 0) return [];
  if (source === null) {
    const [rows] = await pool.query<(RowDataPacket & { example_id: string })[]>(
      `SELECT example_id FROM modelwright.examples WHERE ${scope} AND (bucket, example_id) IN (?)`,
      [tenantId, customizationId, ids.map((id) => [bucketOf(id), id])],
    );
    return rows.map(({ example_id }) => example_id);
  }
  const model = catalog.get(business_model);
  if (!model) return [];
  try {
    const table = await openMappedTable(pool, source, model, maxTextChars);
    const found: string[] = [];
    for (const id of ids) {
      beat();
      if (await table.one(pool, id)) found.push(id);
    }
    return found;
  } catch (error) {
    // What cannot be read cannot be learned either.
    if (error instanceof SourceUnreadable) return [];
    throw error;
  }
}
