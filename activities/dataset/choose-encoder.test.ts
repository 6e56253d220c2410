import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalog, validatorOf } from '../../catalog/catalog.ts';
import { writeTinyCausal, writeTinyEncoder } from '../../test/support/tiny-encoders.ts';
import { baseModelOf, chooseBaseModel, loadBaseModel } from '../training/base-model.ts';
import { chooseEncoder } from './choose-encoder.ts';
import { languageOf } from './language-of.ts';
import { normalisedText } from './split.ts';

const installed = [
  { name: 'english', languages: ['en'] },
  { name: 'many', languages: ['en', 'zh', 'de', 'ru', 'ja'] },
];
const choose = (counts: Record<string, number>, rest: { option?: string; before?: string } = {}) =>
  chooseEncoder({ installed, counts, option: rest.option ?? null, before: rest.before ?? null });

describe('the language of a text', () => {
  it('is told by script, and by common words where many share the Latin one', () => {
    const texts: readonly (readonly [string, string | null])[] = [
      ['What is the balance of my account?', 'en'],
      ['Wo ist meine Karte geblieben?', 'de'],
      ['¿Dónde está mi tarjeta?', 'es'],
      ['où est ma carte bancaire', 'fr'],
      ['请问酒店有早餐吗？', 'zh'],
      ['iPhone 多少钱', 'zh'],
      ['カードはどこですか', 'ja'],
      ['東京タワー', 'ja'],
      ['카드를 잃어버렸어요', 'ko'],
      ['Где моя карта?', 'und-Cyrl'],
      ['أين بطاقتي', 'und-Arab'],
      ['πού είναι η κάρτα', 'el'],
      ['žluťoučký kůň', 'und-Latn'],
      ['card lost', null],
      ['12345 !!', null],
      ['😀👍', null],
      ['', null],
    ];
    expect(texts.map(([text]) => [text, languageOf(normalisedText(text))])).toEqual(texts);
  });
});

describe('the choice of the encoder', () => {
  it('goes by the languages of the rows: the most specialised that knows all that count', () => {
    expect(choose({ en: 95, und: 400, zh: 5 })).toMatchObject({ name: 'english', languages: ['en'] });
    expect(choose({ zh: 60, en: 40 })).toMatchObject({ name: 'many', languages: ['zh', 'en'] });
    expect(choose({ zh: 60, en: 40 })?.why).toContain('zh 60 %, en 40 %');
    expect(choose({ 'und-Cyrl': 10 })).toMatchObject({ name: 'many' });
    expect(choose({ und: 12 })).toMatchObject({ name: 'english', languages: [] });
    expect(choose({})).toMatchObject({ name: 'english' });
    expect(chooseEncoder({ installed: [], counts: { en: 1 }, option: null, before: null })).toBeNull();
  });

  it('says so when nobody knows a language', () => {
    const chosen = choose({ th: 30, zh: 70 });
    expect(chosen).toMatchObject({ name: 'many', languages: ['zh', 'th'] });
    expect(chosen?.why).toContain('not th');
  });

  it('stays as it was while it fits, and gives way when the language changes', () => {
    expect(choose({ en: 100 }, { before: 'many' })).toMatchObject({ name: 'many' });
    expect(choose({ zh: 100 }, { before: 'english' })).toMatchObject({ name: 'many' });
    expect(choose({ zh: 100 }, { before: 'english' })?.why).toContain('english, that of the dataset before, does not know them');
    expect(choose({ en: 100 }, { before: 'gone' })?.why).toContain('not installed any more');
    expect(choose({ en: 100 }, { option: 'other', before: 'many' })).toMatchObject({ name: 'other' });
  });
});

describe('the option baseModel', () => {
  it('is the name of a folder and no path, and has no default: the language decides, or a person where it cannot', async () => {
    const catalog = await loadCatalog();
    expect(catalog.size).toBeGreaterThan(0);
    for (const { optionSchema, base } of catalog.values()) {
      const options = validatorOf(optionSchema);
      const nothing = options.safeParse({});
      expect(nothing.data ?? {}).not.toHaveProperty('baseModel');
      expect(nothing.error?.issues.flatMap(({ path }) => path) ?? []).toEqual(base === 'encoder' ? [] : ['baseModel']);
      for (const baseModel of ['all-MiniLM-L6-v2', 'multilingual-e5-small', 'my.own_encoder'])
        expect(options.parse({ baseModel })).toMatchObject({ baseModel });
      for (const baseModel of ['', '../x', 'a/b', '.hidden', 'a b', 7]) expect(options.safeParse({ baseModel }).success).toBe(false);
    }
  });
});

describe('the encoder of a dataset', () => {
  let modelsDir = '';
  beforeAll(async () => {
    modelsDir = await mkdtemp(join(tmpdir(), 'mw-encoders-'));
    await writeTinyEncoder(modelsDir, 'english', ['en']);
    await writeTinyEncoder(modelsDir, 'many', ['en', 'zh']);
  });
  afterAll(async () => await rm(modelsDir, { recursive: true, force: true }));

  it('is frozen with its digest; another folder of that name is refused later', async () => {
    const baseModel = await chooseBaseModel(modelsDir, {}, { zh: 3 }, null);
    expect(baseModel).toMatchObject({ name: 'many', languages: ['zh'] });
    // Whatever the options say by now.
    expect(await baseModelOf(modelsDir, { baseModel: 'english' }, { baseModel })).toMatchObject({ name: 'many', digest: baseModel.digest });
    const other = { baseModel: { ...baseModel, digest: '0'.repeat(64) } };
    await expect(baseModelOf(modelsDir, {}, other)).rejects.toMatchObject({ type: 'BadOptions', nonRetryable: true });
    // A dataset from before: the option, or what was the only one.
    expect(await baseModelOf(modelsDir, { baseModel: 'english' }, {})).toMatchObject({ name: 'english' });
    await expect(baseModelOf(modelsDir, {}, {})).rejects.toThrow('all-MiniLM-L6-v2 is not installed');
  });

  it('must be installed and whole, or the run ends before it trains', async () => {
    await expect(chooseBaseModel(modelsDir, { baseModel: 'absent' }, { en: 1 }, null)).rejects.toThrow(
      /the encoder absent is not installed .*english, many/,
    );
    await writeFile(join(modelsDir, 'many', 'encoder.onnx'), 'something else');
    const error: unknown = await loadBaseModel(modelsDir, 'many').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ type: 'BadOptions', nonRetryable: true });
    expect(String(error)).toMatch(/encoder\.onnx .*mw base add/);
    // A broken one is not silently passed over for one that does not know the language.
    await expect(chooseBaseModel(modelsDir, {}, { zh: 1 }, null)).rejects.toThrow('encoder.onnx');
  });
});

describe('a base model of another kind', () => {
  let modelsDir = '';
  beforeAll(async () => {
    modelsDir = await mkdtemp(join(tmpdir(), 'mw-kinds-'));
    await writeTinyEncoder(modelsDir, 'english', ['en', 'de']);
    await writeTinyCausal(modelsDir, 'writer');
  });
  afterAll(async () => await rm(modelsDir, { recursive: true, force: true }));

  it('is refused with the names of those that would do, and never chosen by the language', async () => {
    expect(await chooseBaseModel(modelsDir, {}, { en: 5 }, null)).toMatchObject({ name: 'english' });
    await expect(chooseBaseModel(modelsDir, { baseModel: 'writer' }, { en: 5 }, null)).rejects.toMatchObject({
      type: 'BadOptions',
      message: expect.stringMatching(
        /writer is a causal language model, .* from an encoder: choose another baseModel \(english\)/,
      ) as string,
    });
    await expect(chooseBaseModel(modelsDir, { baseModel: 'english' }, { en: 5 }, null, 'causal-lm')).rejects.toMatchObject({
      type: 'BadOptions',
      message: expect.stringMatching(
        /english is an encoder, .* from a causal language model: choose another baseModel \(writer\)/,
      ) as string,
    });
    await expect(chooseBaseModel(modelsDir, {}, { en: 5 }, null, 'causal-lm')).rejects.toThrow(/needs the option baseModel.*\(writer\)/);
    const baseModel = await chooseBaseModel(modelsDir, { baseModel: 'writer' }, { en: 5 }, null, 'causal-lm');
    expect(baseModel).toMatchObject({ name: 'writer', why: expect.stringContaining('option') as string });
    expect(await baseModelOf(modelsDir, {}, { baseModel }, 'causal-lm')).toMatchObject({ kind: 'causal-lm', digest: baseModel.digest });
    await expect(baseModelOf(modelsDir, {}, { baseModel })).rejects.toThrow('is a causal language model');
  });

  it('says so too where none of the kind is installed', async () => {
    await rm(join(modelsDir, 'writer'), { recursive: true });
    await expect(chooseBaseModel(modelsDir, {}, { en: 5 }, null, 'causal-lm')).rejects.toThrow(
      /none is installed; add one by `\.\/mw base add`/,
    );
    await expect(chooseBaseModel(modelsDir, { baseModel: 'english' }, { en: 5 }, null, 'causal-lm')).rejects.toThrow(/add one by/);
  });
});
