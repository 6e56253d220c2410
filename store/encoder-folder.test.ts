import { mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyCausalConfig, tinyConfig, writeTinyCausal, writeTinyEncoder } from '../test/support/tiny-encoders.ts';
import { BrokenEncoder, listEncoders, readEncoder } from './encoder-folder.ts';
import { buildHeader } from './safetensors.ts';

let modelsDir = '';
let made = 0;
beforeAll(async () => {
  modelsDir = await mkdtemp(join(tmpdir(), 'mw-encoders-'));
});
afterAll(async () => await rm(modelsDir, { recursive: true, force: true }));

/** What is said of a whole folder after it was spoilt. */
async function complaint(spoil: (folder: string) => Promise<unknown>): Promise<{ file: string; message: string }> {
  const folder = await writeTinyEncoder(modelsDir, `broken-${++made}`, ['en']);
  await readEncoder(folder);
  await spoil(folder);
  const error: unknown = await readEncoder(folder).catch((thrown: unknown) => thrown);
  if (!(error instanceof BrokenEncoder)) throw new Error(`nothing was found: ${String(error)}`);
  expect(error.message).toContain(folder);
  expect(error.message).toContain(error.remedy);
  return { file: error.file, message: error.message };
}

const config = (changes: object) => (folder: string) =>
  writeFile(join(folder, 'config.json'), JSON.stringify({ ...tinyConfig, ...changes }));

describe('the folder of an encoder', () => {
  it('is taken when it is whole; its digest changes with its files', async () => {
    const one = await readEncoder(await writeTinyEncoder(modelsDir, 'one', ['en']));
    const two = await readEncoder(await writeTinyEncoder(modelsDir, 'two', ['zh', 'en']));
    expect(one).toMatchObject({ name: 'one', dim: 4, maxTokens: 16, languages: ['en'] });
    expect(two.digest).not.toBe(one.digest);
    expect((await listEncoders(modelsDir)).map(({ name }) => name)).toEqual(['one', 'two']);
    expect(await listEncoders(join(modelsDir, 'nowhere'))).toEqual([]);
  });

  it('is read once for all who ask at a time', async () => {
    const folder = await writeTinyEncoder(modelsDir, 'asked', ['en']);
    const [first, second] = await Promise.all([readEncoder(folder), readEncoder(folder)]);
    expect(second).toBe(first);
    await rm(folder, { recursive: true });
  });

  it('is refused with the file and the remedy when a file is missing or is another one', async () => {
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json', 'encoder.onnx', 'modelwright.json']) {
      expect(await complaint((folder) => rm(join(folder, file)))).toMatchObject({ file });
    }
    for (const file of ['tokenizer.json', 'encoder.onnx']) {
      const found = await complaint(async (folder) => {
        const path = join(folder, file);
        await writeFile(path, `${await readFile(path, 'utf8')} `);
      });
      expect(found).toMatchObject({ file });
      expect(found.message).toContain('digest');
    }
  });

  it('is refused for an architecture that we cannot compute, by name', async () => {
    expect((await complaint(config({ model_type: 'xlm-roberta' }))).message).toContain('xlm-roberta');
    expect((await complaint(config({ architectures: ['GPT2Model'] }))).message).toContain('GPT2Model');
    expect((await complaint(config({ hidden_act: 'relu' }))).message).toContain('relu');
    expect((await complaint(config({ hidden_size: undefined }))).message).toContain('hidden_size');
    expect((await complaint(config({ vocab_size: 6 }))).message).toContain('[5, 4]');
    expect(await complaint((folder) => writeFile(join(folder, 'config.json'), '{'))).toMatchObject({ file: 'config.json' });
    const bpe = await complaint((folder) => writeFile(join(folder, 'tokenizer.json'), '{"model":{"type":"BPE"}}'));
    expect(bpe).toMatchObject({ file: 'tokenizer.json' });
  });

  it('is refused when its weights are cut off, lie about their length, or are a pickle', async () => {
    const weights = (folder: string): string => join(folder, 'model.safetensors');
    expect((await complaint((folder) => truncate(weights(folder), 500))).file).toBe('model.safetensors');
    expect((await complaint((folder) => truncate(weights(folder), 3))).message).toContain('8 bytes');
    const hostile = Buffer.alloc(64);
    hostile.writeBigUInt64LE(2n ** 62n);
    expect((await complaint((folder) => writeFile(weights(folder), hostile))).message).toContain('header of');
    // A header that is allowed and far longer than the file: nothing of its length is allocated.
    hostile.writeBigUInt64LE(99_000_000n);
    expect((await complaint((folder) => writeFile(weights(folder), hostile))).message).toContain('in a file of 64');
    const few = Buffer.concat([buildHeader([{ name: 'x', dtype: 'F32', shape: [1], bytes: 4 }]), Buffer.alloc(4)]);
    expect((await complaint((folder) => writeFile(weights(folder), few))).message).toContain('embeddings.word_embeddings.weight');
    const pickled = await complaint((folder) => rename(weights(folder), join(folder, 'pytorch_model.bin')));
    expect(pickled).toMatchObject({ file: 'pytorch_model.bin' });
    expect(pickled.message).toContain('pickle');
  });

  it('is refused when modelwright.json does not say what serving needs', async () => {
    const change = (changes: object) => async (folder: string) => {
      const path = join(folder, 'modelwright.json');
      await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...changes }));
      // Same files as before: only what is said of them changed.
    };
    expect((await complaint(change({ languages: undefined }))).message).toContain('languages');
    expect((await complaint(change({ dim: 5 }))).message).toContain('5 dimensions');
    expect((await complaint(change({ maxTokens: 17 }))).message).toContain('17 tokens');
    expect((await complaint(change({ sha256: {} }))).message).toContain('no digest');
  });
});

describe('the folder of a causal language model', () => {
  const complaintOf = async (changes: object): Promise<string> => {
    const folder = await writeTinyCausal(modelsDir, `causal-${++made}`);
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...tinyCausalConfig, ...changes }));
    const error: unknown = await readEncoder(folder).catch((thrown: unknown) => thrown);
    return error instanceof BrokenEncoder ? error.message : 'nothing was found';
  };

  it('is one of another kind, with the tensors of its own architecture', async () => {
    expect(await readEncoder(await writeTinyCausal(modelsDir, 'writer'))).toMatchObject({ kind: 'causal-lm', dim: 4, maxTokens: 16 });
    expect(await readEncoder(await writeTinyEncoder(modelsDir, 'reader', ['en']))).toMatchObject({ kind: 'encoder' });
    expect(await complaintOf({ num_hidden_layers: 2 })).toContain('model.layers.1.input_layernorm.weight');
    expect(await complaintOf({ model_type: 'qwen2' })).toContain('q_proj.bias');
    expect(await complaintOf({ tie_word_embeddings: false })).toContain('lm_head.weight');
    expect(await complaintOf({ rope_scaling: { rope_type: 'yarn', factor: 4 } })).toContain('yarn');
    expect(await complaintOf({ num_key_value_heads: 3 })).toContain('shared evenly');
    expect(await complaintOf({ hidden_act: 'gelu' })).toContain('gelu');
    expect(await complaintOf({ max_position_embeddings: 8 })).toContain('16 tokens');
    expect(await complaintOf({ model_type: 'gpt2' })).toContain('describes no BERT');
  });

  it('is refused where modelwright.json calls it an encoder, and for files that were changed, also those of its conversations', async () => {
    const folder = await writeTinyCausal(modelsDir, 'changed');
    const path = join(folder, 'modelwright.json');
    const info = JSON.parse(await readFile(path, 'utf8')) as { sha256: Record<string, string> };
    await writeFile(path, JSON.stringify({ ...info, kind: 'encoder' }));
    await expect(readEncoder(folder)).rejects.toThrow('another kind');
    await writeFile(path, JSON.stringify({ ...info, sha256: { ...info.sha256, 'tokenizer_config.json': '0'.repeat(64) } }));
    await expect(readEncoder(folder)).rejects.toThrow('tokenizer_config.json is missing');
    await writeFile(join(folder, 'tokenizer_config.json'), '{}');
    await expect(readEncoder(folder)).rejects.toThrow('by its digest');
  });
});
