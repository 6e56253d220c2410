import type { GateVerdict } from '../../core/model.ts';
import type { RowDataPacket } from '../../platform/mysql.ts';
import type { DatasetDependencies } from '../dataset/dataset-activities.ts';
import { readBucket } from '../dataset/bucket-file.ts';
import { readManifest } from '../dataset/dataset-registry.ts';
import { failure } from '../failure.ts';
import type { DatasetActivities } from '../ports.ts';
import { loadTrainingSettings } from '../registry/training-settings.ts';
import { type Judged, judge } from './verdict.ts';

/** Texts of one request to the predictor. */
const batchRows = 64;

type EvaluationLine = { readonly id: string; readonly label: string; readonly predicted: string };

/** The trainer's answers on the evaluation rows against those of production, which are asked for here: both saw exactly these rows. */
export async function evaluateGate(
  { pool, store, catalog, predict, beat }: DatasetDependencies,
  input: Parameters<DatasetActivities['evaluateGate']>[0],
): Promise<GateVerdict> {
  const { model } = await loadTrainingSettings(pool, catalog, input);
  const answers = input.training.files['eval.jsonl'];
  if (!answers) throw failure('TrainingFailed', 'the trainer left no eval.jsonl: its log says why');
  const candidate = Buffer.from(await store.read(answers))
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as EvaluationLine);
  const [rows] = await pool.query<(RowDataPacket & { version: number })[]>(
    "SELECT version FROM modelwright_control.aliases WHERE tenant_id = ? AND customization_id = ? AND alias = 'production'",
    [input.tenantId, input.customizationId],
  );
  const currentVersion = rows[0]?.version ?? null;
  const current = new Map<string, string>();
  if (currentVersion !== null) {
    for (const bucket of (await readManifest(store, input.dataset.manifest)).buckets) {
      const lines = (await readBucket(store, bucket)).map((line) => JSON.parse(line) as { id: string; split: string; text: string });
      const judged = lines.filter(({ split }) => split === 'evaluation');
      for (let at = 0; at < judged.length; at += batchRows) {
        beat();
        const batch = judged.slice(at, at + batchRows);
        const outputs = await predict(
          input,
          currentVersion,
          batch.map(({ text }) => text),
        );
        batch.forEach(({ id }, i) => current.set(id, outputs[i]?.label ?? ''));
      }
    }
  }
  const judged = candidate.map(({ id, label, predicted }): Judged => ({
    label,
    candidate: predicted,
    current: currentVersion === null ? null : (current.get(id) ?? ''),
  }));
  return judge(judged, model.gate, model.metric, currentVersion);
}
