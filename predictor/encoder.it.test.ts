import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectDir, resolvePaths } from '../platform/paths.ts';
import { readEncoder } from '../store/encoder-folder.ts';
import { drawnTexts, oddTexts } from './tokenizer/odd-texts.ts';
import { loadEncoder } from './encoder.ts';
import { openGraph } from './graph.ts';
import { passCpuMs } from './pass-cpu.ts';
import { loadTokenizer } from './tokenizer/text-tokenizer.ts';

type Reference = {
  readonly encoded: readonly { readonly ids: readonly number[]; readonly offsets: readonly (readonly [number, number])[] }[];
  readonly embedded: readonly { readonly sentence: readonly number[]; readonly states: readonly (readonly number[])[] }[];
};

const paths = resolvePaths(process.env);

/** What the trainer's Python makes of the same texts. */
function reference(folder: string, maxTokens: number, texts: readonly string[], embed: readonly string[] = []): Reference {
  const script = join(projectDir, 'infra/local/python/encode_texts.py');
  const { stdout, stderr, status } = spawnSync(paths.trainerPython, [script, folder, String(maxTokens), '-'], {
    input: JSON.stringify({ texts, embed }),
    env: { ...process.env, PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1' },
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(stderr.toString());
  return JSON.parse(stdout.toString()) as Reference;
}

const largestDifference = (a: Float32Array, b: readonly number[]): number =>
  a.length === b.length ? b.reduce((most, value, i) => Math.max(most, Math.abs(value - (a[i] as number))), 0) : Infinity;

describe('ONNX Runtime', () => {
  it('reports to nobody', async () => {
    await openGraph(join(paths.modelsDir, 'all-MiniLM-L6-v2', 'encoder.onnx'), 'f32', 1);
    // What its reporting writes as soon as it starts.
    expect(existsSync(join('/tmp', `mat-debug-${process.pid}.log`))).toBe(false);
  });
});

describe('the CPU time of a pass', () => {
  it('tells an encoder of six layers from one of twelve', { timeout: 120_000 }, async () => {
    const open = (name: string) => openGraph(join(paths.modelsDir, name, 'encoder.onnx'), 'f32', 1);
    const [small = 0, large = 0] = await passCpuMs([await open('all-MiniLM-L6-v2'), await open('multilingual-e5-small')]);
    expect(small).toBeGreaterThan(0);
    // About twice: a gate's limit is three times.
    expect(large / small).toBeGreaterThan(1.3);
    expect(large / small).toBeLessThan(3);
  });
});

describe.each(['all-MiniLM-L6-v2', 'multilingual-e5-small'])('the encoder %s', (name) => {
  const folder = join(paths.modelsDir, name);

  it(
    'has the same tokens and offsets in JavaScript as in Python, for Chinese, emoji, marks and drawn nonsense',
    { timeout: 120_000 },
    () => {
      const texts = [...oddTexts, ...drawnTexts(2_000, 11)];
      const tokenizer = loadTokenizer(readFileSync(join(folder, 'tokenizer.json')));
      for (const maxTokens of [512, 12]) {
        const { encoded } = reference(folder, maxTokens, texts);
        const wrong = texts.filter((text, i) => JSON.stringify(tokenizer.encode(text, maxTokens)) !== JSON.stringify(encoded[i]));
        expect(wrong.map((text) => JSON.stringify(text))).toEqual([]);
      }
      // A test that compares nothing would pass as well.
      expect(tokenizer.encode(oddTexts[1] ?? '', 512).ids.length).toBeGreaterThan(10);
    },
  );

  it('answers as the trainer does: sentences, and tokens with the characters that they stand for', { timeout: 120_000 }, async () => {
    const { dim, prefix, maxTokens } = await readEncoder(folder);
    const encoder = await loadEncoder({
      onnxPath: join(folder, 'encoder.onnx'),
      tokenizer: readFileSync(join(folder, 'tokenizer.json')),
      bytes: 1,
      threads: 1,
      prefix,
      dim,
    });
    const texts = [...oddTexts.slice(0, 14), 'the last one is long '.repeat(20)];
    const { encoded, embedded } = reference(
      folder,
      maxTokens,
      texts.map((text) => prefix + text),
      texts.map((text) => prefix + text),
    );
    const sentences = await encoder.embed(texts, maxTokens);
    const tokens = await encoder.embedTokens(texts, maxTokens);
    for (const [i, text] of texts.entries()) {
      expect(largestDifference(sentences[i] as Float32Array, embedded[i]?.sentence ?? [])).toBeLessThan(1e-4);
      const { data, spans } = tokens[i] as (typeof tokens)[number];
      const own = (encoded[i]?.offsets ?? []).flatMap(([begin, end], token) => (end > prefix.length ? [{ begin, end, token }] : []));
      expect(spans).toEqual(own.map(({ begin, end }) => ({ start: Math.max(0, begin - prefix.length), end: end - prefix.length })));
      expect(
        largestDifference(
          data,
          own.flatMap(({ token }) => embedded[i]?.states[token] ?? []),
        ),
      ).toBeLessThan(1e-3);
      const chars = Array.from(text);
      expect(spans.every(({ start, end }) => start < end && end <= chars.length)).toBe(true);
    }
    // Every Chinese character is somebody's; the mark of a word's begin stands for the word's first character too.
    const covered = new Set(tokens[1]?.spans.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i)));
    expect([...covered].sort((a, b) => a - b)).toEqual(Array.from(texts[1] ?? '', (_, i) => i));
  });
});
