import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSets } from '../bench/training/sets.ts';
import { type BusinessModel, loadCatalog } from '../catalog/catalog.ts';
import type { Answer } from '../catalog/contract.ts';
import { readRows } from '../cli/demo/demo-data.ts';
import { demoDataFile } from '../infra/local/demo-data.ts';
import { projectDir, resolvePaths } from '../platform/paths.ts';
import { type JobRow, type Trained, servedAnswers, startExecutor, trainJob } from '../test/support/train-job.ts';

const paths = resolvePaths(process.env);
const encoderFolder = join(paths.modelsDir, 'all-MiniLM-L6-v2');
const dataDir = process.env['MW_DATA_DIR'];
const catalog = await loadCatalog();
let folder = '';
let trainer: ReturnType<typeof startExecutor>;

function raise(message: string): never {
  throw new Error(message);
}
const modelOf = (id: string): BusinessModel => catalog.get(id) ?? raise(`the catalogue lacks ${id}`);
const classification = modelOf('text-classification');

const train = (
  name: string,
  model: BusinessModel,
  rows: readonly JobRow[],
  options: Record<string, unknown>,
  encoder = encoderFolder,
): Promise<Trained> => trainJob({ paths, folder: join(folder, name), model, encoderFolder: encoder, rows, options, cacheDir: join(folder, 'cache'), executor: trainer.executor });
const figure = (model: BusinessModel, { answers }: Trained): number => model.evaluation.measure(answers).values[model.metric] ?? 0;

/** Inputs of the evaluation rows, in the order of the trainer's answers. */
function inputsOf(model: BusinessModel, rows: readonly JobRow[], { answers }: Trained): Answer[] {
  const byId = new Map(rows.map((row) => [row.id, row] as const));
  return answers.map(({ id }) => Object.fromEntries(model.fields.input.map((field) => [field, byId.get(id)?.[field] ?? null])));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-trainer-'));
  trainer = startExecutor(paths, folder);
});
afterAll(async () => {
  await trainer.warm.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the trainer', () => {
  // In two processes: those of the first mostly wait for other processes.
  it('passes its own tests', { timeout: 1_200_000 }, async () => {
    const tests = join(projectDir, 'trainer/tests');
    const waiting = ['test_workers.py', 'test_causal.py'].map((file) => join(tests, file));
    const others = [tests, ...waiting.map((file) => `--ignore=${file}`)];
    const statuses = [waiting, others].map(async (which) => {
      const child = spawn(paths.trainerPython, ['-m', 'pytest', '-x', '--rootdir', dirname(tests), ...which], {
        stdio: 'inherit',
        env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
      });
      return await new Promise((resolve) => child.once('close', resolve));
    });
    expect(await Promise.all(statuses)).toEqual([0, 0]);
  });

  it('reaches 96 % on unseen BBC news, and serving gives the same answers', { timeout: 300_000 }, async () => {
    const rows = (await readRows(demoDataFile(paths))).map((row): JobRow => {
      const held = createHash('sha256').update(`held out ${row.text}`).digest().readUInt32BE(0) / 2 ** 32 < 0.15;
      return { ...row, split: held ? 'evaluation' : 'train' };
    });
    const trained = await train('bbc', classification, rows, { maxTokens: 128 });
    expect(figure(classification, trained)).toBeGreaterThanOrEqual(0.96);
    const { answers } = trained;
    const served = await servedAnswers(catalog, classification, encoderFolder, trained, inputsOf(classification, rows, trained));
    const same = answers.filter(({ predicted }, i) => served[i]?.['label'] === predicted['label']).length;
    expect(answers.length).toBeGreaterThan(250);
    expect(same / answers.length).toBeGreaterThanOrEqual(0.999);
  });

  // Whole sets where the floor is one of the whole set; others by one row of so many, which takes as much less time.
  for (const [name, floor, oneOf] of [
    ['clinc150', 0.95, 1],
    ['banking77', 0.93, 1],
    ['banking77-faq', 0.85, 1],
    ['sentiment-scores', 0.6, 3],
    ['crosswoz-labels', 0.6, 6],
  ] as const) {
    const set = dataSets.find((one) => one.name === name) ?? raise(`bench/training/sets.ts lacks ${name}`);
    const here = dataDir !== undefined && existsSync(dataDir) && existsSync(join(paths.modelsDir, set.encoder));
    it.skipIf(!here)(`reaches ${floor} on ${oneOf === 1 ? '' : `1/${oneOf} of `}${name} with a head (where MW_DATA_DIR and the encoder are)`, { timeout: 300_000 }, async () => {
      const model = modelOf(set.model);
      const options = name === 'clinc150' ? { outOfScopeLabel: 'oos' } : {};
      const rows = set.rows(dataDir ?? '').filter((_, i) => i % oneOf === 0);
      const trained = await train(name, model, rows, options, join(paths.modelsDir, set.encoder));
      const { values } = model.evaluation.measure(trained.answers);
      expect(values['inScopeAccuracy'] ?? values[model.metric]).toBeGreaterThanOrEqual(floor);
      expect(name === 'clinc150' ? values['outOfScopeRecall'] : 1).toBeGreaterThanOrEqual(0.8);
    });
  }
});

/** An answer of the trainer as serving gives it: scores come from other kernels, and what is quoted is no part of an evaluation's answer. */
const comparable = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([field]) => field !== 'text' && field !== 'answer');
  return Object.fromEntries(kept.map(([field, of]) => [field, field === 'score' ? (expect.closeTo(Number(of), 3) as number) : comparable(of)]));
};
/** Graphs from before there were vectors of tokens cannot serve entities. */
const hasTokens = readFileSync(join(encoderFolder, 'encoder.onnx')).includes('token_embeddings');

describe('the sample of each business model', () => {
  for (const model of [...catalog.values()].filter(({ base }) => base === 'encoder'))
    it.skipIf(model.id === 'entity-extraction' && !hasTokens)(`${model.id} is learned, and served as its trainer answers`, { timeout: 300_000 }, async () => {
      const lines = readFileSync(join(dirname(model.trainerFile), 'sample.jsonl'), 'utf8').trim().split('\n');
      // Every row is learned, and every third asked about: what is compared is the way of answering, not how good it is.
      const rows = lines.flatMap((line, i): JobRow[] => {
        const row = JSON.parse(line) as JobRow;
        return [{ ...row, split: 'train' }, ...(i % 3 === 0 ? [{ ...row, id: `asked-${row.id}`, split: 'evaluation' as const }] : [])];
      });
      const trained = await train(`sample-${model.id}`, model, rows, { method: 'head' });
      expect(trained.answers.length).toBeGreaterThanOrEqual(7);
      expect(figure(model, trained)).toBeGreaterThan(0.6);
      const served = await servedAnswers(catalog, model, encoderFolder, trained, inputsOf(model, rows, trained));
      served.forEach((answer, i) => {
        const predicted: Answer = trained.answers[i]?.predicted ?? {};
        const labels = Array.isArray(predicted['labels']) ? predicted['labels'].length : 0;
        // A trainer keeps the first few alternatives of a single label.
        const cut = model.id === 'text-classification' ? { ...answer, labels: (answer['labels'] as unknown[]).slice(0, labels) } : answer;
        expect(JSON.parse(JSON.stringify(cut, (field, value: unknown) => (field === 'text' || field === 'answer' ? undefined : value)))).toEqual(comparable(predicted));
      });
    });
});
