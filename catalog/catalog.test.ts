import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { textsAt } from '../core/example-path.ts';
import { type BusinessModel, loadCatalog, validatorOf, withTier } from './catalog.ts';
import type { Answer } from './contract.ts';
import { factsOf } from './example-facts.ts';

const catalog = await loadCatalog();
const folder = mkdtempSync(join(tmpdir(), 'mw-catalog-'));
afterAll(() => rmSync(folder, { recursive: true }));

const samples = (model: BusinessModel): Answer[] =>
  readFileSync(join(dirname(model.trainerFile), 'sample.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);

describe('a business model of the catalogue', () => {
  it('is one of those that docs/models/business-models.md names', () => {
    const page = readFileSync(join(import.meta.dirname, '../docs/models/business-models.md'), 'utf8');
    const named = [...page.matchAll(/^\| `([a-z-]+)`/gm)].map(([, id = '']) => id);
    expect([...catalog.keys()].sort()).toEqual(named.sort());
  });

  for (const model of catalog.values()) {
    it(`${model.id} has samples that fit its schema and are enough to train on`, () => {
      const rows = samples(model);
      const validator = validatorOf(model.exampleSchema);
      const counts = new Map<string, number>();
      for (const { id, ...content } of rows) {
        expect(typeof id).toBe('string');
        expect(validator.safeParse(content).error?.issues).toBeUndefined();
        expect(model.evaluation.exampleProblem?.(content) ?? null).toBeNull();
        const { text, labels } = factsOf(model, content);
        expect(text).toMatch(/\S/);
        for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
      }
      const { minimumData } = model;
      expect(rows.length).toBeGreaterThanOrEqual(minimumData.rows);
      expect([...counts.values()].filter((count) => count >= minimumData.examplesPerLabel).length).toBeGreaterThanOrEqual(
        minimumData.labels,
      );
    });

    it(`${model.id} gives a right answer full credit, and its metric a finite figure also for no rows`, () => {
      const rows = samples(model).map((row) => Object.fromEntries(model.fields.answer.map((field) => [field, row[field] ?? null])));
      // The shape of an answer is that of an example, save for the list of a similarity, and for replies, of which tokens are counted.
      const counted = { tokens: 7, correctTokens: 7, loss: 0 };
      const answered = rows.map((expected) => ({
        expected,
        predicted: 'answerId' in expected ? { answers: [expected] } : 'messages' in expected ? counted : expected,
      }));
      for (const { expected, predicted } of answered) expect(model.evaluation.credit(expected, predicted)).toBe(1);
      expect(model.evaluation.measure(answered).values[model.metric]).toBeCloseTo(1, 10);
      expect(Number.isFinite(model.evaluation.measure([]).values[model.metric])).toBe(true);
    });

    it(`${model.id} has the tiers that its trainer falls back on`, () => {
      const [, tiers = ''] = /^TIERS = (.*)$/m.exec(readFileSync(model.trainerFile, 'utf8')) ?? [];
      expect(JSON.parse(tiers)).toEqual(model.tiers);
    });

    it(`${model.id} takes the options of each of its tiers`, () => {
      for (const tier of ['fast', 'balanced', 'accurate']) {
        const needed = model.base === 'encoder' ? {} : { baseModel: 'my-model' };
        const parsed = validatorOf(model.optionSchema).safeParse(withTier(model, {}, { tier, ...needed }));
        expect(parsed.error?.issues).toBeUndefined();
        expect(parsed.data).toMatchObject({ tier, ...model.tiers[tier as 'fast'] });
      }
    });
  }

  it('lets options that are named win over the tier, and a tier over what another tier had set', () => {
    const model = catalog.get('text-classification') as BusinessModel;
    expect(withTier(model, {}, { tier: 'accurate', epochs: 1 })).toMatchObject({ method: 'full', epochs: 1 });
    const before = withTier(model, {}, { tier: 'accurate', seed: 3 });
    expect(withTier(model, before, { tier: 'fast' })).toEqual({ tier: 'fast', method: 'head', seed: 3 });
    expect(withTier(model, before, { maxTokens: 32 })).toEqual({ ...before, maxTokens: 32 });
  });

  it("keeps a tier's epochs from another method than its own", () => {
    const model = catalog.get('text-classification') as BusinessModel;
    const before = withTier(model, {}, { tier: 'accurate', seed: 3 });
    expect(withTier(model, {}, { tier: 'accurate', method: 'head' })).toEqual({ tier: 'accurate', method: 'head' });
    expect(withTier(model, before, { method: 'head' })).toEqual({ tier: 'accurate', method: 'head', seed: 3 });
    expect(withTier(model, before, { method: 'full' })).toEqual(before);
    expect(withTier(model, { method: 'lora', epochs: 9 }, { method: 'head' })).toEqual({ method: 'head' });
  });
});

describe('a folder that is not a business model', () => {
  const model = catalog.get('text-classification') as BusinessModel;
  const manifest = JSON.parse(readFileSync(join(dirname(model.trainerFile), 'business-model.json'), 'utf8')) as Record<string, unknown>;
  const add = (name: string, files: Record<string, string>): string => {
    const catalogue = join(folder, name);
    mkdirSync(join(catalogue, 'toy'), { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(catalogue, 'toy', file), text);
    return catalogue;
  };

  it('is refused with the file, the field and what is missing', async () => {
    const toy = { ...manifest, id: 'toy' };
    const code = { 'evaluation.ts': 'export const evaluation = {};', 'answer.ts': 'export const loadAnswerer = () => undefined;' };
    const cases: [string, Record<string, string>, string][] = [
      ['a', { 'business-model.json': 'nonsense' }, 'toy/business-model.json is not JSON'],
      ['b', { 'business-model.json': JSON.stringify({ ...manifest, id: 'other' }) }, "must be the folder's name"],
      [
        'c',
        { 'business-model.json': JSON.stringify({ ...toy, fields: { ...(toy as unknown as BusinessModel).fields, labels: 'colour' } }) },
        'colour is not a property',
      ],
      ['d', { 'business-model.json': JSON.stringify({ ...toy, metric: 5 }) }, 'metric'],
      ['e', { 'business-model.json': JSON.stringify(toy) }, 'evaluation.ts is missing'],
      [
        'f',
        { 'business-model.json': JSON.stringify(toy), ...code, 'answer.ts': 'export const other = 1;' },
        'answer.ts does not export loadAnswerer',
      ],
      ['g', { 'business-model.json': JSON.stringify(toy), ...code }, 'trainer.py is missing'],
    ];
    for (const [name, files, message] of cases) await expect(loadCatalog(add(name, files))).rejects.toThrow(message);
    await expect(loadCatalog(join(folder, 'nowhere'))).rejects.toThrow('MW_CATALOG_DIR');
    expect((await loadCatalog(add('h', { 'business-model.json': JSON.stringify(toy), ...code, 'trainer.py': '' }))).has('toy')).toBe(true);
  });
});

describe('a path into an example', () => {
  it('finds texts in fields, lists, and items that have a value', () => {
    const messages = [
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'two' },
      { role: 'user', content: 'three' },
    ];
    const example = { label: 'x', labels: ['a', 'b', 5], entities: [{ label: 'p' }, {}, { label: 'q' }], messages };
    expect(textsAt(example, 'label')).toEqual(['x']);
    expect(textsAt(example, 'labels[]')).toEqual(['a', 'b']);
    expect(textsAt(example, 'entities[].label')).toEqual(['p', 'q']);
    expect(textsAt(example, 'messages[role=user].content')).toEqual(['one', 'three']);
    expect(textsAt(example, 'absent')).toEqual([]);
  });
});
