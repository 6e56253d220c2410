import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import type { BusinessModel, Catalog } from '../../catalog/catalog.ts';
import type { Answer, SharedEncoder } from '../../catalog/contract.ts';
import { runCommand } from '../../infra/local/run-command.ts';
import { projectDir, type resolvePaths } from '../../platform/paths.ts';
import { loadAnswerer } from '../../predictor/answerer.ts';
import { loadEncoder } from '../../predictor/encoder.ts';
import { parseSafetensors } from '../../store/safetensors.ts';

export type JobRow = Answer & { readonly id: string; readonly split: 'train' | 'evaluation' };
export type AnswerLine = { readonly id: string; readonly expected: Answer; readonly predicted: Answer };
export type Trained = {
  readonly answers: readonly AnswerLine[];
  readonly labels: readonly string[];
  readonly maxTokens: number;
  readonly cpuMs: number;
  readonly folder: string;
  /** What the job wrote to standard output. */
  readonly log: string;
};

const outputs = ['model.safetensors', 'eval.jsonl', 'answering.json', 'encoder.onnx', 'result.json'];
const sha256Of = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Trains with a real encoder in a folder of its own, as the platform does it. */
export async function trainJob(input: {
  readonly paths: ReturnType<typeof resolvePaths>;
  readonly folder: string;
  readonly model: BusinessModel;
  readonly encoderFolder: string;
  readonly rows: readonly JobRow[];
  readonly options: Readonly<Record<string, unknown>>;
  /** Where embeddings are kept; trainings that share it embed a text once. */
  readonly cacheDir?: string;
  readonly threads?: number;
  readonly seed?: number;
  /** A Python script with arguments that starts the trainer as its child, to measure it. */
  readonly through?: readonly string[];
}): Promise<Trained> {
  const { paths, folder, model, encoderFolder, rows, options, cacheDir, threads = 2, seed = 7, through = [] } = input;
  await mkdir(folder);
  const packed = zstdCompressSync(Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join('')));
  await writeFile(join(folder, 'bucket'), packed);
  const sha256 = sha256Of(packed);
  const spec = {
    jobName: 'job',
    businessModel: { id: model.id, version: model.version, trainerFile: model.trainerFile },
    dataset: { digest: sha256, buckets: [{ index: 0, url: `file://${folder}/bucket`, sha256, rows: rows.length }] },
    baseModel: { name: 'encoder', path: encoderFolder },
    options,
    overrides: { batchDivisor: 1, learningRateDivisor: 1 },
    seed,
    threads,
    outputs: Object.fromEntries(outputs.map((file) => [file, `file://${folder}/staged.${file}`])),
    workDir: folder,
    cacheDir,
  };
  await writeFile(join(folder, 'spec.json'), JSON.stringify(spec));
  const log = await runCommand(paths.trainerPython, [...through, '-m', 'modelwright_trainer', '--spec', join(folder, 'spec.json')], {
    env: { PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1' },
  });
  const result = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8')) as Pick<Trained, 'labels' | 'maxTokens' | 'cpuMs'>;
  const lines = (await readFile(join(folder, 'staged.eval.jsonl'), 'utf8')).trim().split('\n');
  return { ...result, answers: lines.map((line) => JSON.parse(line) as AnswerLine), folder, log };
}

/** What the trained model answers when it serves: the same code as the predictor's, over the files that the job left. */
export async function servedAnswers(
  catalog: Catalog,
  model: BusinessModel,
  encoderFolder: string,
  { folder, labels, maxTokens }: Trained,
  inputs: readonly Answer[],
): Promise<Answer[]> {
  const weights = await readFile(join(folder, 'staged.model.safetensors'));
  const parts = new Map([
    ['weights', weights],
    ['answering', await readFile(join(folder, 'staged.answering.json'))],
  ]);
  const info = JSON.parse(await readFile(join(encoderFolder, 'modelwright.json'), 'utf8')) as { dim: number; prefix: string };
  const tensors = [...parseSafetensors(weights).tensors].map(
    ([name, { dtype, shape }]) => [name, { shard: 'weights', dtype, shape, bytes: 0 }] as const,
  );
  const answerer = await loadAnswerer({ bytes: ({ sha256 }) => Promise.resolve(parts.get(sha256) ?? Buffer.alloc(0)) }, catalog, {
    version: 1,
    businessModel: { id: model.id, version: model.version },
    labels,
    encoder: { name: '', dim: info.dim, maxTokens, prefix: info.prefix },
    tensors: Object.fromEntries(tensors),
    shards: [{ sha256: 'weights', bytes: 0, key: '', scope: 'tenant' }],
    files: [{ path: 'answering.json', role: 'answering', sha256: 'answering', bytes: 0, key: '', scope: 'tenant' }],
  });
  const tokenizer = await readFile(join(encoderFolder, 'tokenizer.json'));
  const onnxPath = join(encoderFolder, 'encoder.onnx');
  const encoder = await loadEncoder({ onnxPath, tokenizer, bytes: 0, threads: 2, prefix: info.prefix, dim: info.dim });
  const shared: SharedEncoder = {
    dim: info.dim,
    embed: (texts) => encoder.embed(texts, maxTokens),
    embedTokens: (texts) => encoder.embedTokens(texts, maxTokens),
  };
  return await answerer.answer(inputs, shared, { topK: 5 });
}
