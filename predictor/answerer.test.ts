import { describe, expect, it } from 'vitest';
import { loadCatalog } from '../catalog/catalog.ts';
import type { SharedEncoder } from '../catalog/contract.ts';
import { buildHeader } from '../store/safetensors.ts';
import { loadAnswerer } from './answerer.ts';

const catalog = await loadCatalog();
const encoder: SharedEncoder = {
  dim: 2,
  embed: (texts) => Promise.resolve(texts.map(() => Float32Array.from([1, 0.5]))),
  embedTokens: () => Promise.reject(new Error('not asked')),
};

/** A file of a head for two labels; `pack` writes its numbers. */
function weightsOf(dtype: string, pack: (values: readonly number[]) => ArrayBufferView): Buffer {
  const tensors = [
    { name: 'classifier.weight', shape: [2, 2], values: [1, 0, 0, -2] },
    { name: 'classifier.bias', shape: [2], values: [0.5, 0] },
  ].map(({ values, ...rest }) => ({ ...rest, data: pack(values) }));
  const header = buildHeader(tensors.map(({ name, shape, data }) => ({ name, dtype, shape, bytes: data.byteLength })));
  return Buffer.concat([header, ...tensors.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))]);
}

const load = async (weights: Buffer, files: Record<string, string> = {}, id = 'text-classification') =>
  await loadAnswerer({ bytes: ({ sha256 }) => Promise.resolve(sha256 === 'w' ? weights : Buffer.from(files[sha256] ?? '')) }, catalog, {
    version: 4,
    businessModel: { id, version: '1.0.0' },
    labels: ['old a', 'old b'],
    encoder: { name: 'tiny', dim: 2, maxTokens: 8, prefix: '' },
    tensors: Object.fromEntries(
      ['classifier.weight', 'classifier.bias'].map((name) => [name, { shard: 'w', dtype: 'F32', shape: [], bytes: 0 }]),
    ),
    shards: [{ sha256: 'w', bytes: 0, key: '', scope: 'tenant' }],
    files: Object.keys(files).map((sha256) => ({ path: 'answering.json', role: 'answering', sha256, bytes: 0, key: '', scope: 'tenant' })),
  });

const float32 = weightsOf('F32', (values) => Float32Array.from(values));

describe('a published version', () => {
  it('answers by its own answering.json, and one from before there was any by the labels of its manifest', async () => {
    const ask = async (files?: Record<string, string>) =>
      (await (await load(float32, files)).answer([{ text: 'x' }], encoder, { topK: 1 }))[0]?.['label'];
    expect(await ask({ digest: '{"labels":["new a","new b"]}' })).toBe('new a');
    expect(await ask()).toBe('old a');
  });

  it('has weights of 32 or 16 bits', async () => {
    const halves = weightsOf('F16', (values) => Float16Array.from(values));
    const brains = weightsOf('BF16', (values) =>
      Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16),
    );
    const [expected, ...others] = await Promise.all(
      [float32, halves, brains].map(async (weights) => await (await load(weights)).answer([{ text: 'x' }], encoder, { topK: 2 })),
    );
    for (const other of others) expect(other).toEqual(expected);
    await expect(load(weightsOf('I32', (values) => Int32Array.from(values)))).rejects.toThrow('classifier.weight is I32');
  });

  it('of a business model that is not in the catalogue is none that can be served', async () => {
    await expect(load(float32, {}, 'gone')).rejects.toMatchObject({
      name: 'NoSuchVersion',
      message: expect.stringContaining('v4 is a gone') as string,
    });
  });
});
