import type { Answer } from '../../catalog/contract.ts';
import type { BusinessModel } from '../../catalog/catalog.ts';
import type { DatasetRow } from '../../core/dataset.ts';
import { type Json, canonicalJson } from '../../core/json.ts';
import type { GateVerdict } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import { gateDetailsKey } from '../../store/keys.ts';
import type { DatasetDependencies } from '../dataset/dataset-activities.ts';
import { readBucket } from '../dataset/bucket-file.ts';
import { readManifest } from '../dataset/dataset-registry.ts';
import type { DatasetActivities } from '../ports.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { readAnswers } from './answers-file.ts';
import { gateDetails } from './details.ts';
import { type Judged, judge } from './verdict.ts';

/** Inputs of one request to the predictor. */
const batchRows = 64;

type Input = Parameters<DatasetActivities['evaluateGate']>[0];

/** The trainer's answers on the evaluation rows against those of production, which are asked for here: both saw exactly these rows. */
export async function evaluateGate(dependencies: DatasetDependencies, input: Input): Promise<GateVerdict> {
  const { pool, store, catalog } = dependencies;
  const { model } = await loadTrainingSettings(pool, catalog, input);
  const answers = await readAnswers(store, input.training.files);
  const [rows] = await pool.query<(RowDataPacket & { version: number })[]>(
    "SELECT version FROM modelwright_control.aliases WHERE tenant_id = ? AND customization_id = ? AND alias = 'production'",
    [input.tenantId, input.customizationId],
  );
  const currentVersion = rows[0]?.version ?? null;
  const current = currentVersion === null ? null : await answersOf(dependencies, input, model, currentVersion);
  const judged = answers.map((row): Judged => ({ ...row, current: current === null ? null : (current.get(row.id) ?? {}) }));
  const verdict = judge(judged, model, currentVersion);
  const bytes = Buffer.from(canonicalJson(JSON.parse(JSON.stringify(gateDetails(judged, model, currentVersion))) as Json), 'utf8');
  const sha256 = sha256Hex(bytes);
  const { ref } = await store.putContent(gateDetailsKey(input, sha256), bytes, sha256);
  return { ...verdict, details: ref };
}

/** What a published version answers to the evaluation rows of the dataset. */
async function answersOf(
  { store, predict, beat }: DatasetDependencies,
  input: Input,
  { fields }: BusinessModel,
  version: number,
): Promise<Map<string, Answer>> {
  const found = new Map<string, Answer>();
  for (const bucket of (await readManifest(store, input.dataset.manifest)).buckets) {
    const rows = (await readBucket(store, bucket))
      .map((line) => JSON.parse(line) as DatasetRow)
      .filter(({ split }) => split === 'evaluation');
    for (let at = 0; at < rows.length; at += batchRows) {
      beat();
      const batch = rows.slice(at, at + batchRows);
      const inputs = batch.map((row) => Object.fromEntries(fields.input.map((field) => [field, row[field] ?? null])));
      const outputs = await predict(input, version, inputs);
      batch.forEach(({ id }, i) => found.set(id, outputs[i] ?? {}));
    }
  }
  return found;
}
