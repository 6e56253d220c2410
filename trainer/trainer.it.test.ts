import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../catalog/catalog.ts';
import type { Answer } from '../catalog/contract.ts';
import { readRows } from '../cli/demo/demo-data.ts';
import { demoDataFile } from '../infra/local/demo-data.ts';
import { runCommand } from '../infra/local/run-command.ts';
import { projectDir, resolvePaths } from '../platform/paths.ts';
import { loadAnswerer } from '../predictor/answerer.ts';
import { loadEncoder } from '../predictor/encoder.ts';
import { parseSafetensors } from '../store/safetensors.ts';

const paths = resolvePaths(process.env);
const encoderFolder = join(paths.modelsDir, 'all-MiniLM-L6-v2');
const dataDir = process.env['MW_DATA_DIR'];
let folder = '';
const catalog = await loadCatalog();
const model = catalog.get('text-classification');
if (!model) throw new Error('the catalogue lacks text-classification');

type AnswerLine = { readonly id: string; readonly expected: Answer; readonly predicted: Answer };
type Row = { readonly id: string; readonly text: string; readonly label: string; readonly split: string };
type Trained = { readonly accuracy: number; readonly answers: readonly AnswerLine[]; readonly labels: readonly string[]; readonly folder: string };

/** Trains with the real encoder, as the platform does it. */
async function train(name: string, rows: readonly Row[], options: Record<string, unknown>): Promise<Trained> {
  const work = join(folder, name);
  await mkdir(work);
  const packed = zstdCompressSync(Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join('')));
  await writeFile(join(work, 'bucket'), packed);
  const sha256 = createHash('sha256').update(packed).digest('hex');
  const outputs = Object.fromEntries(['model.safetensors', 'eval.jsonl', 'answering.json', 'encoder.onnx', 'result.json'].map((file) => [file, `file://${work}/staged.${file}`]));
  const spec = {
    jobName: name,
    businessModel: { id: 'text-classification', version: '1.0.0', trainerFile: model.trainerFile },
    dataset: { digest: sha256, buckets: [{ index: 0, url: `file://${work}/bucket`, sha256, rows: rows.length }] },
    baseModel: { name: 'all-MiniLM-L6-v2', path: encoderFolder },
    options,
    overrides: { batchDivisor: 1, learningRateDivisor: 1 },
    seed: 7,
    threads: 2,
    outputs,
    workDir: work,
  };
  await writeFile(join(work, 'spec.json'), JSON.stringify(spec));
  await runCommand(paths.trainerPython, ['-m', 'modelwright_trainer', '--spec', join(work, 'spec.json')], {
    env: { PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1' },
  });
  const { labels } = JSON.parse(await readFile(join(work, 'result.json'), 'utf8')) as Pick<Trained, 'labels'>;
  const lines = (await readFile(join(work, 'staged.eval.jsonl'), 'utf8')).trim().split('\n');
  const answers = lines.map((line) => JSON.parse(line) as AnswerLine);
  return { accuracy: model.evaluation.measure(answers).values['accuracy'] ?? 0, answers, labels, folder: work };
}

async function benchmarkRows(set: string): Promise<Row[]> {
  const read = async (file: string, split: string): Promise<Row[]> =>
    (await readFile(join(dataDir ?? '', set, file), 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line, i) => ({ ...(JSON.parse(line) as { text: string; label: string }), id: `${split}-${String(i).padStart(6, '0')}`, split }));
  return [...(await read('train.jsonl', 'train')), ...(await read('test.jsonl', 'evaluation'))];
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mw-trainer-'));
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

describe('the trainer', () => {
  it('passes its own tests', { timeout: 600_000 }, async () => {
    const child = spawn(paths.trainerPython, ['-m', 'pytest', '-x', join(projectDir, 'trainer')], {
      stdio: 'inherit',
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    });
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  });

  it('reaches 96 % on unseen BBC news, and serving gives the same answers', { timeout: 300_000 }, async () => {
    const articles = await readRows(demoDataFile(paths));
    const rows = articles.map((row) => ({
      ...row,
      split: createHash('sha256').update(`held out ${row.text}`).digest().readUInt32BE(0) / 2 ** 32 < 0.15 ? 'evaluation' : 'train',
    }));
    const trained = await train('bbc', rows, { maxTokens: 128 });
    expect(trained.accuracy).toBeGreaterThanOrEqual(0.96);

    const weights = await readFile(join(trained.folder, 'staged.model.safetensors'));
    const sha256 = createHash('sha256').update(weights).digest('hex');
    const tensors = Object.fromEntries([...parseSafetensors(weights).tensors].map(([name, { dtype, shape }]) => [name, { shard: sha256, dtype, shape, bytes: 0 }]));
    const answering = await readFile(join(trained.folder, 'staged.answering.json'));
    const parts = new Map([[sha256, weights], ['answering', answering]]);
    const answerer = await loadAnswerer(
      { bytes: ({ sha256: of }) => Promise.resolve(parts.get(of) ?? Buffer.alloc(0)) },
      catalog,
      // The parts of a manifest that a head is loaded by.
      {
        version: 1,
        businessModel: { id: model.id, version: model.version },
        encoder: { name: '', dim: 384, maxTokens: 128, prefix: '' },
        tensors,
        shards: [{ sha256, bytes: 0, key: '', scope: 'tenant' }],
        files: [{ path: 'answering.json', role: 'answering', sha256: 'answering', bytes: 0, key: '', scope: 'tenant' }],
      } as unknown as Parameters<typeof loadAnswerer>[2],
    );
    const tokenizer = await readFile(join(encoderFolder, 'tokenizer.json'));
    const encoder = await loadEncoder({ onnxPath: join(encoderFolder, 'encoder.onnx'), tokenizer, bytes: 0, threads: 2, prefix: '', dim: 384 });
    const { answers } = trained;
    const texts = new Map(rows.map(({ id, text }) => [id, text]));
    const shared = {
      dim: 384,
      embed: (some: readonly string[]) => encoder.embed(some, 128),
      embedTokens: (some: readonly string[]) => encoder.embedTokens(some, 128),
    };
    const served = await answerer.answer(answers.map(({ id }) => ({ text: texts.get(id) ?? '' })), shared, { topK: 1 });
    const same = answers.filter(({ predicted }, i) => served[i]?.['label'] === predicted['label']).length;
    expect(answers.length).toBeGreaterThan(250);
    expect(same / answers.length).toBeGreaterThanOrEqual(0.999);
  });

  for (const [set, floor] of [
    ['clinc150', 0.95],
    ['banking77', 0.93],
  ] as const) {
    it.skipIf(dataDir === undefined || !existsSync(join(dataDir, set)))(`reaches ${floor * 100} % on ${set} (where MW_DATA_DIR holds it)`, { timeout: 300_000 }, async () => {
      expect((await train(set, await benchmarkRows(set), {})).accuracy).toBeGreaterThanOrEqual(floor);
    });
  }
});
