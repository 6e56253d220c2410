import type { Answer } from '../../catalog/contract.ts';
import type { BusinessModel } from '../../catalog/catalog.ts';
import type { DatasetManifest } from '../../core/dataset.ts';
import { canonicalJsonOf } from '../../core/json.ts';
import { primaryOf } from '../../core/metrics.ts';
import type { GateVerdict, StoredMetrics } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import { gateDetailsKey } from '../../store/keys.ts';
import type { DatasetDependencies } from '../dataset/dataset-activities.ts';
import { readRows } from '../dataset/bucket-file.ts';
import { readManifest } from '../dataset/dataset-registry.ts';
import type { DatasetActivities } from '../ports.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { readAnswers } from './answers-file.ts';
import { dataFacts } from './data-facts.ts';
import { gateDetails } from './details.ts';
import { productionOf } from './production.ts';
import { type Evidence, type Judged, judge } from './verdict.ts';

/** Inputs of one request to the predictor, which has a minute for them: a causal language model takes seconds for a long one. */
const batchRowsOf = { encoder: 64, 'causal-lm': 4 } as const;

type Input = Parameters<DatasetActivities['evaluateGate']>[0];

/** The trainer's answers on the evaluation rows against those of production, which are asked for here: both saw exactly these rows. */
export async function evaluateGate(dependencies: DatasetDependencies, input: Input): Promise<GateVerdict> {
  const { pool, store, catalog } = dependencies;
  const { model } = await loadTrainingSettings(pool, catalog, input);
  const answers = await readAnswers(store, input.training.files);
  const production = await productionOf(pool, store, input);
  const currentVersion = production?.version ?? null;
  const dataset = await readManifest(store, input.dataset.manifest);
  const current = currentVersion === null ? null : await answersOf(dependencies, input, dataset, model, currentVersion);
  const judged = answers.map((row): Judged => ({ ...row, current: current === null ? null : (current.get(row.id) ?? {}) }));
  const rowFacts = await dataFacts(dependencies, model, dataset, production?.dataset ?? null);
  // A head on the shared encoder costs what every head does.
  const graph = input.training.files['encoder.onnx'];
  const latency = graph && dependencies.timeEncoder ? await dependencies.timeEncoder(input, currentVersion, graph) : null;
  const published = publishedOf(production?.metrics, model);
  const evidence: Evidence = { ...rowFacts, latency, modelBytes: modelBytesOf(input.training), published };
  const verdict = judge(judged, model, currentVersion, evidence);
  const details = gateDetails(judged, model, currentVersion, evidence);
  const bytes = Buffer.from(canonicalJsonOf(details), 'utf8');
  const sha256 = sha256Hex(bytes);
  const { ref } = await store.putContent(gateDetailsKey(input, sha256), bytes, sha256);
  return { ...verdict, details: ref };
}

/** Size of what a training made; answers and logs are no part of a version. */
const modelBytesOf = ({ files }: Input['training']): number =>
  ['model.safetensors', 'encoder.onnx'].reduce((sum, name) => sum + (files[name]?.bytes ?? 0), 0);

function publishedOf(metrics: StoredMetrics | undefined, { metric }: BusinessModel): Evidence['published'] {
  if (!metrics) return null;
  const primary = primaryOf(metrics);
  return primary.metric === metric ? { value: primary.value, rows: metrics.rows.evaluation } : null;
}

/** What a published version answers to the evaluation rows of the dataset. */
async function answersOf(
  { store, predict, beat }: DatasetDependencies,
  input: Input,
  { buckets }: DatasetManifest,
  { fields, base }: BusinessModel,
  version: number,
): Promise<Map<string, Answer>> {
  const batchRows = batchRowsOf[base];
  const found = new Map<string, Answer>();
  for (const bucket of buckets) {
    const rows = (await readRows(store, bucket)).filter(({ split }) => split === 'evaluation');
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
