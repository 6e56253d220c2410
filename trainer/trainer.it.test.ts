import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRows } from '../cli/demo/demo-data.ts';
import { demoDataFile } from '../infra/local/demo-data.ts';
import { runCommand } from '../infra/local/run-command.ts';
import { projectDir, resolvePaths } from '../platform/paths.ts';
import { loadClassifier } from '../predictor/classifier.ts';
import { loadEncoder } from '../predictor/encoder.ts';
import { parseSafetensors } from '../store/safetensors.ts';

const paths = resolvePaths(process.env);
const encoderFolder = join(paths.modelsDir, 'all-MiniLM-L6-v2');
const dataDir = process.env['MW_DATA_DIR'];
let folder = '';

type Row = { readonly id: string; readonly text: string; readonly label: string; readonly split: string };
type Trained = { readonly metrics: { readonly accuracy: number }; readonly labels: readonly string[]; readonly folder: string };

/** Trains with the real encoder, as the platform does it. */
async function train(name: string, rows: readonly Row[], options: Record<string, unknown>): Promise<Trained> {
  const work = join(folder, name);
  await mkdir(work);
  const packed = zstdCompressSync(Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join('')));
  await writeFile(join(work, 'bucket'), packed);
  const sha256 = createHash('sha256').update(packed).digest('hex');
  const outputs = Object.fromEntries(['model.safetensors', 'eval.jsonl', 'encoder.onnx', 'result.json'].map((file) => [file, `file://${work}/staged.${file}`]));
  const spec = {
    jobName: name,
    businessModel: { id: 'text-classification', version: '1.0.0', trainer: 'text_classification' },
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
  const result = JSON.parse(await readFile(join(work, 'result.json'), 'utf8')) as Omit<Trained, 'folder'>;
  return { ...result, folder: work };
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
    expect(trained.metrics.accuracy).toBeGreaterThanOrEqual(0.96);

    const weights = await readFile(join(trained.folder, 'staged.model.safetensors'));
    const sha256 = createHash('sha256').update(weights).digest('hex');
    const tensors = Object.fromEntries([...parseSafetensors(weights).tensors].map(([name, { dtype, shape }]) => [name, { shard: sha256, dtype, shape, bytes: 0 }]));
    const classifier = await loadClassifier(
      { bytes: () => Promise.resolve(weights), file: () => Promise.resolve(''), manifest: () => Promise.reject(new Error('not asked')) },
      // The parts of a manifest that a head is loaded by.
      { version: 1, labels: trained.labels, encoder: { name: '', dim: 384, maxTokens: 128, prefix: '' }, tensors, shards: [{ sha256, bytes: 0, key: '', scope: 'tenant' }] } as unknown as Parameters<typeof loadClassifier>[1],
    );
    const tokenizer = await readFile(join(encoderFolder, 'tokenizer.json'));
    const encoder = await loadEncoder({ onnxPath: join(encoderFolder, 'encoder.onnx'), tokenizer, bytes: 0, threads: 2, prefix: '', dim: 384 });
    const answers = (await readFile(join(trained.folder, 'staged.eval.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { id: string; predicted: string });
    const texts = new Map(rows.map(({ id, text }) => [id, text]));
    const embeddings = await encoder.embed(answers.map(({ id }) => texts.get(id) ?? ''), 128);
    const same = answers.filter(({ predicted }, i) => classifier.classify(embeddings[i] as Float32Array, 1).label === predicted).length;
    expect(answers.length).toBeGreaterThan(250);
    expect(same / answers.length).toBeGreaterThanOrEqual(0.999);
  });

  for (const [set, floor] of [
    ['clinc150', 0.95],
    ['banking77', 0.93],
  ] as const) {
    it.skipIf(dataDir === undefined || !existsSync(join(dataDir, set)))(`reaches ${floor * 100} % on ${set} (where MW_DATA_DIR holds it)`, { timeout: 300_000 }, async () => {
      expect((await train(set, await benchmarkRows(set), {})).metrics.accuracy).toBeGreaterThanOrEqual(floor);
    });
  }
});
