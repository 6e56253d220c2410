import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog } from '../catalog/catalog.ts';
import type { ModelManifest } from '../core/model.ts';
import type { Prediction } from '../platform/predictor-client.ts';
import { resolvePaths } from '../platform/paths.ts';
import { readEncoder } from '../store/encoder-folder.ts';
import { buildHeader } from '../store/safetensors.ts';
import type { ModelStore } from './model-store.ts';
import { type Predictor, createPredictor } from './predictor.ts';

const name = 'all-MiniLM-L6-v2';
const folder = join(resolvePaths(process.env).modelsDir, name);
const labels = (version: number): string[] => [`v${version} a`, `v${version} b`, `v${version} c`];

/** Numbers that differ from version to version, and are the same every time. */
function drawn(version: number, count: number): Float32Array {
  let state = version * 7_919;
  return Float32Array.from({ length: count }, () => (state = (state * 48_271) % 2_147_483_647) / 1_073_741_824 - 1);
}

function head(version: number, dim: number): Buffer {
  const weight = drawn(version, 3 * dim);
  const tensors = [
    { name: 'classifier.weight', shape: [3, dim], data: weight },
    { name: 'classifier.bias', shape: [3], data: new Float32Array(3) },
  ];
  const header = buildHeader(tensors.map(({ data, ...rest }) => ({ ...rest, dtype: 'F32', bytes: data.byteLength })));
  return Buffer.concat([header, ...tensors.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))]);
}

/** Versions 1, 2, 3.. of every customization; odd and even ones start from encoders that are loaded apart, though they are the same. */
async function storeOfHeads(): Promise<ModelStore> {
  const { dim, maxTokens, prefix } = await readEncoder(folder);
  const scope = 'base';
  return {
    file: () => Promise.resolve(join(folder, 'encoder.onnx')),
    bytes: ({ sha256 }) =>
      Promise.resolve(sha256.startsWith('head') ? head(Number(sha256.slice(4)), dim) : readFileSync(join(folder, 'tokenizer.json'))),
    manifest: (_key, version) =>
      Promise.resolve({
        version,
        businessModel: { id: 'text-classification', version: '1.0.0' },
        labels: labels(version),
        encoder: { name, dim, maxTokens, prefix },
        tensors: Object.fromEntries(['classifier.weight', 'classifier.bias'].map((tensor) => [tensor, { shard: `head${version}` }])),
        shards: [{ sha256: `head${version}`, bytes: 0, key: '', scope }],
        files: [
          {
            path: 'encoder.onnx',
            role: 'encoder-onnx',
            sha256: `onnx${version % 2}`,
            bytes: statSync(join(folder, 'encoder.onnx')).size,
            key: '',
            scope,
          },
          { path: 'tokenizer.json', role: 'tokenizer', sha256: 'tokenizer', bytes: 0, key: '', scope },
        ],
      } as unknown as ModelManifest),
  };
}

const sentences = Array.from(
  { length: 60 },
  (_, i) => `The ${['striker', 'bank', 'cook', 'senate'][i % 4]} number ${i} ${'was seen again '.repeat(i % 5)}on day ${i * 3}`,
);
const passes: number[] = [];
let predictor: Predictor;
const open = async (cacheBytes: number): Promise<Predictor> =>
  createPredictor({
    store: await storeOfHeads(),
    catalog: await loadCatalog(),
    cacheBytes,
    threads: 2,
    precision: 'f32',
    maxWaiting: 4_000,
    onPass: (texts) => void passes.push(texts),
  });
const ask = async (tenantId: string, version: number, texts: readonly string[], by = predictor) => {
  const answer = await by.predict({ tenantId, customizationId: 'c', version, inputs: texts.map((text) => ({ text })), topK: 3 });
  expect(answer.version).toBe(version);
  return answer.outputs;
};
const scoresOf = ({ labels: ranked }: Prediction): Record<string, number> =>
  Object.fromEntries((ranked as { label: string; score: number }[]).map(({ label, score }) => [label, score]));
function expectSame(given: Prediction | undefined, expected: Prediction | undefined): void {
  const scores = scoresOf(given ?? {});
  const wanted = scoresOf(expected ?? {});
  expect(Object.keys(scores).sort()).toEqual(Object.keys(wanted).sort());
  for (const [label, score] of Object.entries(wanted)) expect(scores[label]).toBeCloseTo(score, 4);
}

/** What each version answers to each sentence when it is asked for that one alone. */
const alone = new Map<number, Prediction[]>();

beforeAll(async () => {
  predictor = await open(2_000_000_000);
  for (const version of [1, 2]) {
    const outputs: Prediction[] = [];
    for (const sentence of sentences) outputs.push(...(await ask('alone', version, [sentence])));
    alone.set(version, outputs);
  }
});

describe('the predictor under load', () => {
  it('answers many tenants in few passes, each as if it had asked alone', { timeout: 120_000 }, async () => {
    expect(new Set(alone.get(1)?.map(({ label }) => label)).size).toBeGreaterThan(1);
    passes.length = 0;
    const answers = await Promise.all(sentences.map((sentence, i) => ask(`tenant-${i}`, 1, [sentence])));
    for (const [i, answer] of answers.entries()) expectSame(answer[0], alone.get(1)?.[i]);
    expect(passes.reduce((sum, texts) => sum + texts, 0)).toBe(sentences.length);
    expect(passes.length).toBeLessThan(sentences.length / 2);
    passes.length = 0;
    await ask('tenant-0', 1, ['alone again']);
    expect(passes).toEqual([1]);
  });

  it('answers one text of a tenant while a thousand of another wait', { timeout: 180_000 }, async () => {
    passes.length = 0;
    const texts = Array.from({ length: 1_000 }, (_, i) => `${sentences[i % 4]} ${i}`);
    let largeEnded = false;
    const large = ask('large', 1, texts).finally(() => (largeEnded = true));
    while (passes.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const before = passes.reduce((sum, count) => sum + count, 0);
    const [single] = await ask('small', 1, [sentences[1] ?? '']);
    const between = passes.reduce((sum, count) => sum + count, 0) - before;
    expectSame(single, alone.get(1)?.[1]);
    expect(largeEnded).toBe(false);
    // A batch has 512 tokens, and each of these texts at least 8: the batch that ran, and its own.
    expect(between).toBeLessThanOrEqual(2 * (512 / 8));
    expect(await large).toHaveLength(texts.length);
  });

  it(
    'swaps versions and their encoders with no failed and no mixed answer, also when the memory holds but one encoder',
    { timeout: 180_000 },
    async () => {
      const small = await open(1_000_000);
      let serving = 1;
      const swapped = new AbortController();
      const given: { version: number; output: Prediction | undefined; text: number }[] = [];
      const clients = Array.from({ length: 8 }, async (_, client) => {
        for (let i = 0; !swapped.signal.aborted; i++) {
          const version = serving;
          const text = (client * 7 + i) % sentences.length;
          const [output] = await ask(`tenant-${client % 3}`, version, [sentences[text] ?? ''], small);
          given.push({ version, output, text });
        }
      });
      for (let swap = 0; swap < 5; swap++) {
        const next = 3 - serving;
        await small.warm({ tenantId: 'tenant-0', customizationId: 'c', version: next });
        const answered = given.length;
        serving = next;
        while (given.length < answered + 24) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      swapped.abort();
      await Promise.all(clients);
      for (const { version, output, text } of given) expectSame(output, alone.get(version)?.[text]);
      for (const version of [1, 2]) expect(given.filter((answer) => answer.version === version).length).toBeGreaterThan(20);
    },
  );
});
