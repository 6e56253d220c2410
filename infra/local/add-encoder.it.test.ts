import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolvePaths } from '../../platform/paths.ts';
import { loadEncoder } from '../../predictor/encoder.ts';
import { listEncoders } from '../../store/encoder-folder.ts';
import { writeTinyEncoder } from '../../test/support/tiny-encoders.ts';
import { addEncoder } from './add-encoder.ts';

let home = '';
const facts = { name: 'tiny', prefix: 'query: ', languages: ['en'], license: 'MIT' };
const context = () => ({
  paths: { ...resolvePaths(process.env), modelsDir: join(home, 'installed') },
  report: () => undefined,
  signal: new AbortController().signal,
});

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'mw-add-'));
});
afterAll(async () => await rm(home, { recursive: true, force: true }));

describe('adding an encoder', () => {
  it('exports its graph, names its files by digest, and serves it', { timeout: 120_000 }, async () => {
    const source = await writeTinyEncoder(home, 'source', ['xx']);
    const added = await addEncoder(context(), source, facts);
    expect(added).toMatchObject({ name: 'tiny', dim: 4, maxTokens: 16, prefix: 'query: ', languages: ['en'], license: 'MIT' });
    expect((await listEncoders(join(home, 'installed'))).map(({ name }) => name)).toEqual(['tiny']);
    const encoder = await loadEncoder({
      onnxPath: join(added.folder, 'encoder.onnx'),
      tokenizer: await readFile(join(added.folder, 'tokenizer.json')),
      bytes: 1,
      threads: 1,
      prefix: added.prefix,
      dim: added.dim,
    });
    expect((await encoder.embed(['a a', 'a'], 16)).map(({ length }) => length)).toEqual([4, 4]);
    expect((await encoder.embedTokens(['a 𠮷 a'], 16))[0]?.spans).toEqual([
      { start: 0, end: 1 },
      { start: 2, end: 3 },
      { start: 4, end: 5 },
    ]);
    await expect(addEncoder(context(), source, facts)).rejects.toThrow('is there already');
  });

  it('refuses a broken folder, or tokens that serving does not make, and leaves nothing of it', { timeout: 120_000 }, async () => {
    const source = await writeTinyEncoder(home, 'broken', ['xx']);
    const tokenizer = JSON.parse(await readFile(join(source, 'tokenizer.json'), 'utf8')) as object;
    const odd = { ...tokenizer, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true } };
    await writeFile(join(source, 'tokenizer.json'), JSON.stringify(odd));
    await expect(addEncoder(context(), source, { ...facts, name: 'other' })).rejects.toMatchObject({ file: 'tokenizer.json' });
    await rm(join(source, 'model.safetensors'));
    await writeFile(join(source, 'pytorch_model.bin'), 'x');
    await expect(addEncoder(context(), source, { ...facts, name: 'other' })).rejects.toMatchObject({ file: 'pytorch_model.bin' });
    expect(await readdir(join(home, 'installed'))).toEqual(['tiny']);
  });
});
