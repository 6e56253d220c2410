import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseBaseModel } from '../activities/training/base-model.ts';
import { languageOf } from '../activities/dataset/language-of.ts';
import { normalisedText } from '../activities/dataset/split.ts';
import { loadCatalog } from '../catalog/catalog.ts';
import { type Answer, textOf } from '../catalog/contract.ts';
import { resolvePaths } from '../platform/paths.ts';
import { type JobRow, servedAnswers, trainJob } from '../test/support/train-job.ts';

const paths = resolvePaths(process.env);
const data = join(process.env['MW_DATA_DIR'] ?? '', 'crosswoz-zh');
const catalog = await loadCatalog();
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-chinese-'));
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

const rowsOf = (file: string, split: JobRow['split'], count: number): JobRow[] =>
  readFileSync(join(data, file), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .slice(0, count)
    .map((line, i) => ({ ...(JSON.parse(line) as Answer), id: `${split}-${String(i).padStart(4, '0')}`, split }));

/** Chinese dialogues where MW_DATA_DIR holds them: small parts, for the way and not for the figures. */
describe.skipIf(!existsSync(data))('Chinese examples', () => {
  for (const [id, file, count, floor] of [
    ['multi-label-classification', 'multi-label', 400, 0.6],
    ['entity-extraction', 'entities', 150, 0.1],
  ] as const)
    it(`are learned as ${id} by the encoder that their language chooses, and served as the trainer answers`, { timeout: 300_000 }, async () => {
      const model = catalog.get(id);
      if (!model) throw new Error(`the catalogue lacks ${id}`);
      const rows = [...rowsOf(`${file}.train.jsonl`, 'train', count), ...rowsOf(`${file}.test.jsonl`, 'evaluation', 40)];
      const counts: Record<string, number> = {};
      for (const row of rows) {
        const language = languageOf(normalisedText(textOf(row))) ?? 'und';
        counts[language] = (counts[language] ?? 0) + 1;
      }
      const { name, languages } = await chooseBaseModel(paths.modelsDir, {}, counts, null);
      expect({ name, languages }).toEqual({ name: 'multilingual-e5-small', languages: ['zh'] });
      const encoderFolder = join(paths.modelsDir, name);
      const trained = await trainJob({ paths, folder: join(folder, id), model, encoderFolder, rows, options: { method: 'head' } });
      const measured = model.evaluation.measure(trained.answers).values[model.metric] ?? 0;
      expect(measured).toBeGreaterThan(floor);
      const texts = new Map(rows.map((row) => [row.id, row['text'] ?? null] as const));
      const inputs = trained.answers.map((answer) => ({ text: texts.get(answer.id) ?? null }));
      const served = await servedAnswers(catalog, model, encoderFolder, trained, inputs);
      const key = (answer: Answer | undefined): string =>
        JSON.stringify(answer, (field, value: unknown) => (field === 'score' || field === 'text' ? undefined : value));
      const same = trained.answers.filter(({ predicted }, i) => key(predicted) === key(served[i])).length;
      expect(same / trained.answers.length).toBeGreaterThanOrEqual(0.98);
    });
});
