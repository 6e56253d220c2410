import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { createProcessExecutor, jobEnvironment } from '../../activities/adapters/process-executor.ts';
import { type WarmTrainer, startWarmTrainer } from '../../activities/adapters/warm-trainer.ts';
import type { JobSpec, TrainingExecutor } from '../../activities/training/executor.ts';
import type { BusinessModel, Catalog } from '../../catalog/catalog.ts';
import type { Answer, SharedEncoder } from '../../catalog/contract.ts';
import { runCommand } from '../../infra/local/run-command.ts';
import { projectDir, type resolvePaths } from '../../platform/paths.ts';
import { loadAnswerer } from '../../predictor/answerer.ts';
import { loadDecoder } from '../../predictor/decoder.ts';
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
const trainerDir = join(projectDir, 'trainer');
const longestJobMs = 600_000;
const sha256Of = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export type JobInput = {
  readonly paths: ReturnType<typeof resolvePaths>;
  readonly folder: string;
  readonly model: Pick<BusinessModel, 'id' | 'version' | 'trainerFile'>;
  readonly encoderFolder: string;
  readonly rows: readonly JobRow[];
  readonly options: Readonly<Record<string, unknown>>;
  /** Where embeddings are kept; trainings that share it embed a text once. */
  readonly cacheDir?: string;
  readonly threads?: number;
  readonly seed?: number;
  /** Runs the job, as in the platform; without one it is started cold. */
  readonly executor?: TrainingExecutor;
  /** Without an executor: a Python script with arguments that starts the trainer as its child, to measure it. */
  readonly through?: readonly string[];
};

/** A job over local files, in a folder of its own. */
export async function writeJob(input: Omit<JobInput, 'paths' | 'executor' | 'through'>): Promise<JobSpec> {
  const { folder, model, encoderFolder, rows, options, cacheDir, threads = 2, seed = 7 } = input;
  await mkdir(folder);
  const packed = zstdCompressSync(Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join('')));
  await writeFile(join(folder, 'bucket'), packed);
  const sha256 = sha256Of(packed);
  const bucket = { index: 0, url: `file://${folder}/bucket`, sha256, bytes: packed.length, rows: rows.length };
  const spec: JobSpec = {
    jobName: 'job',
    tenantId: '1',
    customizationId: '1',
    run: 1,
    attempt: 1,
    businessModel: { id: model.id, version: model.version, trainerFile: model.trainerFile },
    dataset: { digest: sha256, rows: rows.length, buckets: [bucket] },
    baseModel: { name: 'encoder', path: encoderFolder, digest: '' },
    options: options as JobSpec['options'],
    overrides: { batchDivisor: 1, learningRateDivisor: 1 },
    seed,
    threads,
    outputs: Object.fromEntries(outputs.map((file) => [file, `file://${folder}/staged.${file}`])),
    workDir: folder,
    cacheDir: cacheDir ?? join(folder, 'cache'),
  };
  await writeFile(join(folder, 'spec.json'), JSON.stringify(spec));
  return spec;
}

/** Trains with a real encoder, as the platform does it. */
export async function trainJob(input: JobInput): Promise<Trained> {
  const { paths, folder, executor, through = [] } = input;
  const spec = await writeJob(input);
  let log = '';
  if (executor) {
    const end = await executor.follow(spec, () => undefined, AbortSignal.timeout(longestJobMs));
    if (end.kind !== 'result' || end.result.class !== 'ok') throw new Error(`the job in ${folder} ended: ${JSON.stringify(end)}`);
  } else {
    log = await runCommand(paths.trainerPython, [...through, '-m', 'modelwright_trainer', '--spec', join(folder, 'spec.json')], {
      env: { PYTHONPATH: trainerDir, PYTHONDONTWRITEBYTECODE: '1' },
    });
  }
  const result = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8')) as Pick<Trained, 'labels' | 'maxTokens' | 'cpuMs'>;
  const lines = (await readFile(join(folder, 'staged.eval.jsonl'), 'utf8')).trim().split('\n');
  return { ...result, answers: lines.map((line) => JSON.parse(line) as AnswerLine), folder, log };
}

/** The executor of the platform with its warm trainer: libraries are loaded once for all jobs of a test. */
export function startExecutor(
  { trainerPython: python }: ReturnType<typeof resolvePaths>,
  jobsDir: string,
): { executor: TrainingExecutor; warm: WarmTrainer } {
  const log = { info: () => undefined, warn: () => undefined };
  const warm = startWarmTrainer({ python, trainerDir }, jobsDir, jobEnvironment(trainerDir, jobsDir), log);
  return { executor: createProcessExecutor({ jobsDir, python, trainerDir, warm, threads: 1 }), warm };
}

/** What the trained model answers when it serves: the same code as the predictor's, over the files that the job left. */
export async function servedAnswers(
  catalog: Catalog,
  model: BusinessModel,
  baseFolder: string,
  { folder, labels, maxTokens }: Trained,
  inputs: readonly Answer[],
): Promise<Answer[]> {
  const weights = await readFile(join(folder, 'staged.model.safetensors'));
  const parts = new Map([
    ['weights', weights],
    ['answering', await readFile(join(folder, 'staged.answering.json'))],
  ]);
  const info = JSON.parse(await readFile(join(baseFolder, 'modelwright.json'), 'utf8')) as { dim: number; prefix: string };
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
  const tokenizer = await readFile(join(baseFolder, 'tokenizer.json'));
  if (model.base === 'causal-lm') {
    const decoder = await loadDecoder({ onnxPath: join(baseFolder, 'decoder.onnx'), tokenizer, threads: 1, maxWaiting: inputs.length });
    const none = (): Promise<never> => Promise.reject(new Error('there is no encoder'));
    const base: SharedEncoder = { dim: info.dim, embed: none, embedTokens: none, decoder: () => Promise.resolve(decoder.of('tenant')) };
    return await answerer.answer(inputs, base, { topK: 1 });
  }
  const onnxPath = join(baseFolder, 'encoder.onnx');
  const encoder = await loadEncoder({ onnxPath, tokenizer, bytes: 0, threads: 2, prefix: info.prefix, dim: info.dim });
  const shared: SharedEncoder = {
    dim: info.dim,
    embed: (texts) => encoder.embed(texts, maxTokens),
    embedTokens: (texts) => encoder.embedTokens(texts, maxTokens),
  };
  return await answerer.answer(inputs, shared, { topK: 5 });
}
