import { readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BusinessModel, loadCatalog } from '../catalog/catalog.ts';
import type { Answer } from '../catalog/contract.ts';
import { addEncoder } from '../infra/local/add-encoder.ts';
import { resolvePaths } from '../platform/paths.ts';
import { readEncoder } from '../store/encoder-folder.ts';
import { buildHeader, parseSafetensors, tensorBytes } from '../store/safetensors.ts';
import { makeCausalFolder } from '../test/support/tiny-causal.ts';
import { type JobRow, servedAnswers, trainJob } from '../test/support/train-job.ts';

const paths = resolvePaths(process.env);
const catalog = await loadCatalog();
const model = [...catalog.values()].find(({ base }) => base === 'causal-lm') as BusinessModel;
let home = '';
const said: string[] = [];
const add = (source: string, name: string) =>
  addEncoder(
    { paths: { ...paths, modelsDir: join(home, 'installed') }, report: (line) => void said.push(line), signal: new AbortController().signal },
    source,
    { name, prefix: '', languages: ['en', 'zh'], license: 'MIT' },
  );

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'mw-causal-'));
});
afterAll(async () => await rm(home, { recursive: true, force: true }));

/** The weights of a folder as two files and an index, as large models come. */
async function shard(source: string, target: string): Promise<void> {
  await mkdir(target);
  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) await copyFile(join(source, file), join(target, file));
  const whole = await readFile(join(source, 'model.safetensors'));
  const parsed = parseSafetensors(whole);
  const weightMap: Record<string, string> = {};
  for (const [i, name] of ['a.safetensors', 'b.safetensors'].entries()) {
    const own = [...parsed.tensors].filter((_, at) => at % 2 === i);
    for (const [tensor] of own) weightMap[tensor] = name;
    const header = buildHeader(own.map(([tensor, { dtype, shape, begin, end }]) => ({ name: tensor, dtype, shape, bytes: end - begin })));
    await writeFile(join(target, name), Buffer.concat([header, ...own.map(([, info]) => tensorBytes(whole, parsed, info))]));
  }
  await writeFile(join(target, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
}

describe('a causal language model in Hugging Face layout', () => {
  it('is added with its chat template, learns the sample, judges it as its trainer does, and replies', { timeout: 300_000 }, async () => {
    const base = await add(makeCausalFolder(paths, join(home, 'llama')), 'tiny-llama');
    expect(base).toMatchObject({ kind: 'causal-lm', dim: 32, maxTokens: 256, languages: ['en', 'zh'] });
    expect(said).toContain('conversations have the form of its chat template');
    expect(Object.keys(base.sha256).sort()).toEqual(
      ['config.json', 'decoder.onnx', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].sort(),
    );
    const lines = readFileSync(join(dirname(model.trainerFile), 'sample.jsonl'), 'utf8').trim().split('\n');
    const rows = lines.flatMap((line, i): JobRow[] => {
      const row = JSON.parse(line) as JobRow;
      return [{ ...row, split: 'train' }, ...(i % 2 === 0 ? [{ ...row, id: `asked-${row.id}`, split: 'evaluation' as const }] : [])];
    });
    const options = { epochs: 60, learningRate: 0.02, loraRank: 16, batchSize: 4, maxNewTokens: 64 };
    const trained = await trainJob({ paths, folder: join(home, 'job'), model, encoderFolder: base.folder, rows, options, threads: 1 });
    const { values } = model.evaluation.measure(trained.answers);
    expect(values['tokenAccuracy']).toBeGreaterThan(0.9);
    const byId = new Map(rows.map((row) => [row.id, row] as const));
    const asked = trained.answers.map(({ id }): Answer => ({ messages: byId.get(id)?.['messages'] ?? [] }));
    const judged = await servedAnswers(catalog, model, base.folder, trained, asked);
    judged.forEach((answer, i) => {
      const expected = trained.answers[i]?.predicted ?? {};
      expect(answer).toEqual({ ...expected, loss: expect.closeTo(Number(expected['loss']), 3) as number });
    });
    // What it has learned by heart it says, in both languages, and ends.
    const open = [
      ['Where can I park?', 'Behind the shop, free for an hour.'],
      ['你们几点开门？', '周一到周六早上九点开门。'],
    ] as const;
    const replies = await servedAnswers(
      catalog,
      model,
      base.folder,
      trained,
      open.map(([question]) => model.evaluation.inputOf?.(question) ?? {}),
    );
    expect(replies).toEqual(
      open.map(([, text]) => ({ text, tokens: expect.any(Number) as number, finish: 'stop' })),
    );
  });

  it('of another architecture and in shards is one model too', { timeout: 300_000 }, async () => {
    const source = makeCausalFolder(paths, join(home, 'qwen2'), 'qwen2');
    await shard(source, join(home, 'shards'));
    const base = await add(join(home, 'shards'), 'tiny-qwen2');
    const [whole, merged] = await Promise.all([source, base.folder].map(async (folder) => await readFile(join(folder, 'model.safetensors'))));
    const tensorsOf = (bytes: Buffer): Map<string, Buffer> => {
      const parsed = parseSafetensors(bytes);
      return new Map([...parsed.tensors].map(([name, info]) => [name, Buffer.from(tensorBytes(bytes, parsed, info))]));
    };
    const expected = tensorsOf(whole as Buffer);
    expect(tensorsOf(merged as Buffer)).toEqual(expected);
    expect(await readEncoder(base.folder)).toMatchObject({ kind: 'causal-lm', digest: base.digest });
  });

  it('is refused by file where it is broken, and nothing is left of it', { timeout: 300_000 }, async () => {
    const left = async (): Promise<string[]> => (await readdir(join(home, 'installed')).catch((): string[] => [])).sort();
    const before = await left();
    const broken = async (name: string, spoil: (folder: string) => Promise<unknown>): Promise<unknown> => {
      const folder = makeCausalFolder(paths, join(home, name));
      await spoil(folder);
      return await add(folder, name).catch((error: unknown) => error);
    };
    expect(
      await broken('tokens', async (folder) => {
        const tokenizer = JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8')) as object;
        await writeFile(join(folder, 'tokenizer.json'), JSON.stringify({ ...tokenizer, pre_tokenizer: { type: 'Metaspace' } }));
      }),
    ).toMatchObject({ name: 'BrokenEncoder', file: 'tokenizer.json', message: expect.stringContaining('Metaspace') as string });
    const nan = await broken('nan', async (folder) => {
      const path = join(folder, 'model.safetensors');
      const bytes = await readFile(path);
      bytes.writeFloatLE(Number.NaN, bytes.byteLength - 4);
      await writeFile(path, bytes);
    });
    expect(nan).toMatchObject({ name: 'BrokenEncoder', message: expect.stringContaining('no finite numbers') as string });
    expect(
      await broken('pickle', async (folder) => {
        await rm(join(folder, 'model.safetensors'));
        await writeFile(join(folder, 'pytorch_model.bin'), 'x');
      }),
    ).toMatchObject({ file: 'pytorch_model.bin' });
    await shard(makeCausalFolder(paths, join(home, 'torn')), join(home, 'torn-shards'));
    await rm(join(home, 'torn-shards', 'b.safetensors'));
    await expect(add(join(home, 'torn-shards'), 'torn')).rejects.toThrow(/model\.safetensors\.index\.json .*b\.safetensors is missing/);
    expect(await left()).toEqual(before);
  });
});
