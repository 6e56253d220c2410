import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { type TokenNames, tokenSpans } from './token-spans.ts';

/** What BERT's normaliser does to a text, as far as it changes where letters lie. */
const bert = (text: string): string =>
  text
    .replaceAll(/\u200d|\ufe0f/gu, '')
    .replaceAll(/(\p{Script=Han})/gu, ' $1 ')
    .normalize('NFD')
    .replaceAll(/\p{Mn}/gu, '')
    .toLowerCase();
const names: TokenNames = { normalize: bert, added: new Set(['[CLS]', '[SEP]', '[MASK]']), unknown: '[UNK]' };
const texts = (text: string, tokens: readonly string[], by: TokenNames = names): (string | null)[] => {
  const points = Array.from(text);
  return tokenSpans(text, tokens, by).map((span) => span && points.slice(span.start, span.end).join(''));
};

describe('where the tokens of a word-piece vocabulary lie', () => {
  it('follows letters through case, accents and white space', () => {
    expect(texts('  Naïve Café!', ['[CLS]', 'na', '##ive', 'cafe', '!', '[SEP]'])).toEqual([null, 'Na', 'ïve', 'Café', '!', null]);
    // An accent of its own was taken off.
    expect(texts('Cafe\u0301 x', ['[CLS]', 'cafe', 'x', '[SEP]'])).toEqual([null, 'Cafe', 'x', null]);
  });

  it('counts code points, and passes over what the vocabulary does not know', () => {
    expect(tokenSpans('🙂🙂 去 北京', ['[CLS]', '[UNK]', '[UNK]', '北', '京', '[SEP]'], names)).toEqual([
      null,
      { start: 0, end: 2 },
      { start: 3, end: 4 },
      { start: 5, end: 6 },
      { start: 6, end: 7 },
      null,
    ]);
    expect(texts('👩‍🍳cook now', ['[CLS]', '[UNK]', 'now', '[SEP]'])).toEqual([null, '👩‍🍳cook', 'now', null]);
    expect(texts('ab$cd', ['[CLS]', '[UNK]', '$', 'cd', '[SEP]'])).toEqual([null, 'ab', '$', 'cd', null]);
  });

  it('knows a special token that somebody wrote from the tokenizer’s own', () => {
    expect(texts('a [MASK] b', ['[CLS]', 'a', '[MASK]', 'b', '[SEP]'])).toEqual([null, 'a', '[MASK]', 'b', null]);
    // The closing token of a text that was cut off.
    expect(texts('a b c', ['[CLS]', 'a', '[SEP]'])).toEqual([null, 'a', null]);
  });
});

describe('where the tokens of a sentence-piece vocabulary lie', () => {
  const pieces: TokenNames = { normalize: (text) => text.normalize('NFKC'), added: new Set(['<s>', '</s>']), unknown: '<unk>' };

  it('counts the mark of white space to the letter behind it', () => {
    expect(texts('Ｆｌｙ to 北京市', ['<s>', '▁Fly', '▁to', '▁', '北京', '市', '</s>'], pieces)).toEqual([
      null,
      'Ｆｌｙ',
      'to',
      '北',
      '北京',
      '市',
      null,
    ]);
  });

  it('joins an accent with its letter where the normaliser does', () => {
    expect(texts('Cafe\u0301 x', ['<s>', '▁Café', '▁x', '</s>'], pieces)).toEqual([null, 'Cafe\u0301', 'x', null]);
  });

  it('takes one character that becomes several for all of them', () => {
    expect(texts('㎏ x', ['<s>', '▁k', 'g', '▁x', '</s>'], pieces)).toEqual([null, '㎏', '㎏', 'x', null]);
  });
});

describe('a real tokenizer', () => {
  const vocab = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'fly', 'to', 'new', 'york', '##er', '北', '京', '!'];
  const json = {
    version: '1.0',
    added_tokens: ['[PAD]', '[UNK]', '[CLS]', '[SEP]'].map((content, id) => ({
      id,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: '[CLS]', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '[SEP]', type_id: 0 } },
      ],
      pair: [],
      special_tokens: { '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] }, '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] } },
    },
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
    },
  };

  it('gives tokens that are found in the text', () => {
    const tokenizer = new Tokenizer(json, {});
    const { normalizer } = tokenizer;
    if (!normalizer) throw new Error('no normaliser');
    const text = 'FLY 🙂 to Néw Yorker, 北京!';
    const { tokens } = tokenizer.encode(text);
    expect(texts(text, tokens, { ...names, normalize: (some) => normalizer.normalize(some) })).toEqual([
      null,
      'FLY',
      '🙂',
      'to',
      'Néw',
      'York',
      'er',
      ',',
      '北',
      '京',
      '!',
      null,
    ]);
  });
});
