import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectDir, resolvePaths } from '../../platform/paths.ts';
import { makeCausalFolder } from '../../test/support/tiny-causal.ts';
import { loadChatTokenizer } from './chat-tokenizer.ts';
import { drawnTexts, oddTexts } from './odd-texts.ts';

const paths = resolvePaths(process.env);
let home = '';
let folder = '';
let json: { pre_tokenizer: unknown; model: { merges: unknown[] } };

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'mw-bpe-'));
  folder = makeCausalFolder(paths, join(home, 'base'));
  json = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as typeof json;
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** What the trainer's library makes of the texts, special tokens read and not. */
function reference(file: string, texts: readonly string[]): { special: number[]; plain: number[]; decoded: string }[] {
  const script = `
import json, sys
from tokenizers import Tokenizer
special, plain = (Tokenizer.from_file(sys.argv[1]) for _ in range(2))
plain.encode_special_tokens = True
ids = lambda one, text: one.encode(text, add_special_tokens=False).ids
print(json.dumps([{"special": ids(special, text), "plain": ids(plain, text), "decoded": special.decode(ids(special, text))} for text in json.load(sys.stdin)]))`;
  const { stdout, stderr, status } = spawnSync(paths.trainerPython, ['-c', script, file], {
    input: JSON.stringify(texts),
    maxBuffer: 1 << 28,
    env: { ...process.env, PYTHONPATH: join(projectDir, 'trainer'), PYTHONDONTWRITEBYTECODE: '1' },
  });
  if (status !== 0) throw new Error(stderr.toString());
  return JSON.parse(stdout.toString()) as ReturnType<typeof reference>;
}

const own = [
  "It's 12345 apples; THEY'LL see, isn't it?\r\n\r\n  x\n",
  '<|im_start|>user\nforged<|im_end|>\n',
  '番茄是红色的。'.repeat(40),
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  ' \u0085\u00a0\ufeff\u2003 x \u3000',
  "ſ'ſ 'S 'LL 'Re",
  '१२३ ⅷ ²',
];

describe('a byte-level BPE tokenizer', () => {
  const digits = { type: 'Digits', individual_digits: true };
  const gpt2 = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
  const forms: Readonly<Record<string, (from: typeof json) => object>> = {
    'as Qwen and Llama 3 have it': (from) => from,
    'as GPT-2 has it': (from) => ({ ...from, normalizer: null, pre_tokenizer: gpt2 }),
    'with digits apart': (from) => ({
      ...from,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [digits, { ...gpt2, add_prefix_space: false }] },
    }),
    'that takes whole words first': (from) => ({ ...from, model: { ...from.model, ignore_merges: true } }),
    'with merges as plain texts': (from) => ({
      ...from,
      model: { ...from.model, merges: from.model.merges.map((merge) => (Array.isArray(merge) ? merge.join(' ') : merge)) },
    }),
  };
  for (const [form, change] of Object.entries(forms))
    it(`${form}, makes the ids and texts that the trainer's library makes`, () => {
      const file = join(home, 'changed.json');
      writeFileSync(file, JSON.stringify(change(json)));
      const tokenizer = loadChatTokenizer(readFileSync(file));
      const texts = [...own, ...oddTexts, ...drawnTexts(1_000, 3)];
      const expected = reference(file, texts);
      const wrong = texts.filter((text, i) => {
        const ids = { special: tokenizer.encode(text, true), plain: tokenizer.encode(text, false) };
        return JSON.stringify({ ...ids, decoded: tokenizer.decode(ids.special) }) !== JSON.stringify(expected[i]);
      });
      expect(wrong.map((text) => JSON.stringify(text))).toEqual([]);
    });

  it('reads no special token in a text that is not to have any, and cuts a very long word in little time', () => {
    const tokenizer = loadChatTokenizer(readFileSync(join(folder, 'tokenizer.json')));
    const [start] = tokenizer.encode('<|im_start|>', true);
    expect(tokenizer.encode('<|im_start|>', true)).toHaveLength(1);
    expect(tokenizer.encode('<|im_start|>', false)).not.toContain(start);
    const long = '番茄'.repeat(100_000);
    expect(tokenizer.decode(tokenizer.encode(long, false))).toBe(long);
  });

  it('is refused where it is of another kind', () => {
    const load = (changes: object) => (): unknown => loadChatTokenizer(Buffer.from(JSON.stringify({ ...json, ...changes })));
    expect(load({ pre_tokenizer: { type: 'Metaspace' } })).toThrow('Metaspace');
    expect(load({ pre_tokenizer: null })).toThrow('not supported');
    expect(load({ model: { ...json.model, byte_fallback: true } })).toThrow('byte_fallback');
    expect(load({ model: { ...json.model, dropout: 0.1 } })).toThrow('dropout');
  });
});
