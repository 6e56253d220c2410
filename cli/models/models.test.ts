import { describe, expect, it } from 'vitest';
import type { ModelManifest } from '../../core/model.ts';
import { sha256Hex } from '../../platform/hash.ts';
import type { PartSource } from './part-source.ts';
import { diffLines } from './diff-lines.ts';
import { diffManifests } from './diff-manifests.ts';
import { modelPack } from './oci-layout.ts';
import { verifyParts } from './verify-parts.ts';

const bodies = { weight: Buffer.from('weightweight'), bias: Buffer.from('bias'), words: Buffer.from('wordswordswords!') };
const header = Buffer.from('a header');
const head = Buffer.concat([header, bodies.weight, bodies.bias]);
const base = Buffer.concat([header, bodies.words]);
const labels = Buffer.from('["a","b"]\n');

const tensor = (shard: Buffer, body: Buffer, offset: number) => ({
  shard: sha256Hex(shard),
  dtype: 'F32',
  shape: [body.byteLength / 4],
  bytes: body.byteLength,
  offset,
  sha256: sha256Hex(body),
});
const part = (content: Buffer, key: string) => ({ sha256: sha256Hex(content), bytes: content.byteLength, key });
const manifest: ModelManifest = {
  format: 'modelwright-model/2',
  tenantId: 'acme',
  customizationId: 'news',
  version: 3,
  run: 3,
  businessModel: { id: 'text', version: '1.0.0' },
  dataset: { number: 3, digest: 'd', rows: 100, cut: '' },
  options: { epochs: 2, tier: 'fast' },
  optionsDigest: 'o',
  trainerDigest: 't',
  parent: 2,
  labels: ['a', 'b'],
  encoder: { name: 'mini', dim: 8, maxTokens: 128, prefix: '' },
  tensors: {
    'classifier.weight': tensor(head, bodies.weight, 8),
    'classifier.bias': tensor(head, bodies.bias, 20),
    'words.weight': tensor(base, bodies.words, 8),
  },
  shards: [
    { ...part(base, 'base'), scope: 'base' },
    { ...part(head, 'head'), scope: 'tenant' },
  ],
  files: [{ path: 'labels.json', role: 'labels', ...part(labels, 'labels'), scope: 'tenant' }],
  metrics: { metric: 'accuracy', unit: 'share', values: { accuracy: 0.9 }, rows: { train: 90, evaluation: 10 }, perLabel: {} },
  verdict: {
    verdict: 'promote',
    explanation: '',
    metric: 'accuracy',
    candidate: 0.9,
    current: null,
    currentVersion: null,
    pairedP: null,
    testRows: 10,
    changedPredictions: 0,
    labels: {},
  },
  createdAt: '2026-01-01T00:00:00.000Z',
  base: null,
};
const withoutDigests = (one: ModelManifest): ModelManifest => ({
  ...one,
  format: 'modelwright-model/1',
  tensors: Object.fromEntries(
    Object.entries(one.tensors).map(([name, { shard, dtype, shape, bytes }]) => [name, { shard, dtype, shape, bytes }]),
  ),
});

describe('the difference of two versions', () => {
  const newBias = Buffer.from('SAIB');
  const newHead = Buffer.concat([header, bodies.weight, newBias, bodies.bias]);
  const next: ModelManifest = {
    ...manifest,
    version: 4,
    labels: ['b', 'a', 'c'],
    options: { epochs: 3, tier: 'fast' },
    tensors: {
      'words.weight': tensor(base, bodies.words, 8),
      'classifier.weight': tensor(newHead, bodies.weight, 8),
      'classifier.bias': tensor(newHead, newBias, 20),
      'classifier.scale': tensor(newHead, bodies.bias, 24),
    },
    shards: [
      { ...part(base, 'base'), scope: 'base' },
      { ...part(newHead, 'head'), scope: 'tenant' },
    ],
    files: [],
    metrics: { metric: 'accuracy', unit: 'share', values: { accuracy: 0.95 }, rows: { train: 90, evaluation: 10 }, perLabel: {} },
  };

  it('is told by the digests of tensors, so that one whose shard changed is not said to have changed', () => {
    const diff = diffManifests(manifest, next);
    expect(diff).toMatchObject({
      comparedBy: 'tensor',
      tensors: { added: [{ name: 'classifier.scale', bytes: 4 }], removed: [], changed: [{ name: 'classifier.bias' }], unchanged: 2 },
      files: { added: [], removed: ['labels.json'], changed: [] },
      bytes: { tensors: 8, fetched: newHead.byteLength, shared: base.byteLength },
      labels: { added: ['c'], removed: [], reordered: true },
      options: { epochs: { from: 2, to: 3 } },
      metrics: { accuracy: { from: 0.9, to: 0.95 } },
      origin: {},
    });
    const lines = diffLines(diff).join('\n');
    expect(lines).toMatch(/\+ tensor +classifier\.scale/);
    expect(lines).toMatch(/~ metric +accuracy +0\.9 +0\.95/);
    expect(lines).toContain('tensors: 1 added, 0 removed, 1 changed (8 B), 2 the same');
  });

  it('is told by shards where a manifest has no digests of tensors, and says so', () => {
    const diff = diffManifests(withoutDigests(manifest), next);
    expect(diff.comparedBy).toBe('shard');
    expect(diff.tensors.changed.map(({ name }) => name)).toEqual(['classifier.bias', 'classifier.weight']);
    expect(diffLines(diff).join('\n')).toContain('no digests of tensors');
  });

  it('of a version and itself is none', () => {
    expect(diffLines(diffManifests(manifest, manifest))).toEqual([
      'no difference',
      'tensors: 0 added, 0 removed, 0 changed (0 B), 3 the same',
      `parts: 0 B differ, ${base.byteLength + head.byteLength + labels.byteLength} B are the same in both`,
    ]);
  });
});

describe('verifying parts', () => {
  const parts = [
    { path: 'one', ...part(base, '') },
    { path: 'two', ...part(head, '') },
    { path: 'three', ...part(labels, '') },
  ];
  const source =
    (contents: Readonly<Record<string, Buffer>>): PartSource =>
    async ({ path }, take) => {
      const content = contents[path];
      if (!content) return await Promise.resolve(false);
      // In pieces that begin and end within tensors.
      for (let at = 0; at < content.byteLength; at += 5) take(content.subarray(at, at + 5));
      return true;
    };
  const whole = { one: base, two: head, three: labels };
  const verified = (contents: Readonly<Record<string, Buffer>>, of = manifest) => verifyParts(of, parts, source(contents), () => undefined);
  const flipped = (at: number): Buffer => Buffer.from(head.map((byte, i) => (i === at ? byte ^ 1 : byte)));

  it('finds nothing where all is whole', async () => {
    expect(await verified(whole)).toEqual([]);
  });

  it('names the tensors that a flipped bit is in, for every bit of the shard', async () => {
    for (let at = 0; at < head.byteLength; at++) {
      const [fault, ...others] = await verified({ ...whole, two: flipped(at) });
      expect(others).toEqual([]);
      expect(fault).toMatchObject({ path: 'two', what: 'damaged' });
      expect(fault?.tensors).toEqual(at < 8 ? [] : at < 20 ? ['classifier.weight'] : ['classifier.bias']);
    }
  });

  it('names all tensors of the shard where it cannot tell, and what is missing or cut off', async () => {
    const all = ['classifier.bias', 'classifier.weight'];
    expect(await verified({ ...whole, two: flipped(9) }, withoutDigests(manifest))).toMatchObject([{ tensors: all }]);
    expect(await verified({ one: base, three: labels.subarray(1) })).toMatchObject([
      { path: 'three', what: 'damaged', detail: 'has 9 bytes instead of 10', tensors: [] },
      { path: 'two', what: 'missing', tensors: all },
    ]);
  });
});

describe('a ModelPack artifact', () => {
  it('has a layer for each file of a pulled folder, of the media types of the specification', () => {
    const text = JSON.stringify(manifest);
    const { index, blobs } = modelPack(manifest, text);
    const find = ({ digest, size }: { digest: string; size: number }): string => {
      const blob = blobs.find((one) => `sha256:${sha256Hex(one)}` === digest);
      expect(blob?.byteLength).toBe(size);
      return blob?.toString('utf8') ?? '';
    };
    const [described] = (JSON.parse(index) as { manifests: [{ digest: string; size: number; artifactType: string }] }).manifests;
    expect(described.artifactType).toBe('application/vnd.cncf.model.manifest.v1+json');
    const artifact = JSON.parse(find(described)) as {
      config: { digest: string; size: number; mediaType: string };
      layers: { mediaType: string; digest: string; size: number; annotations: Record<string, string> }[];
    };
    expect(artifact.config.mediaType).toBe('application/vnd.cncf.model.config.v1+json');
    const config = JSON.parse(find(artifact.config)) as { modelfs: { diffIds: string[] } };
    expect(config.modelfs.diffIds).toEqual(artifact.layers.map(({ digest }) => digest));
    expect(artifact.layers.map(({ mediaType, annotations }) => [annotations['org.cncf.model.filepath'], mediaType])).toEqual([
      ['model-00001-of-00002.safetensors', 'application/vnd.cncf.model.weight.v1.raw'],
      ['model-00002-of-00002.safetensors', 'application/vnd.cncf.model.weight.v1.raw'],
      ['labels.json', 'application/vnd.cncf.model.weight.config.v1.raw'],
      ['model.safetensors.index.json', 'application/vnd.cncf.model.weight.config.v1.raw'],
      ['manifest.json', 'application/vnd.cncf.model.weight.config.v1.raw'],
    ]);
    expect(find(artifact.layers[4] ?? { digest: '', size: 0 })).toBe(text);
  });
});
