import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCatalog } from './catalog.ts';
import type { Answer, Answerer, Evaluation, SharedEncoder, Tensor } from './contract.ts';
import { speakersOf, wordsOf } from './entity-extraction/words.ts';

const catalog = await loadCatalog();

/** Loads the answerer of a business model from tensors that are written here; all of them have two dimensions. */
async function answererOf(id: string, answering: Answer, tensors: Record<string, readonly number[]>): Promise<Answerer> {
  const model = catalog.get(id);
  if (!model) throw new Error(`the catalogue lacks ${id}`);
  const tensor = (name: string): Promise<Tensor> => {
    const data = tensors[name];
    if (!data) throw new Error(`no tensor ${name}`);
    return Promise.resolve({ shape: [data.length], data: Float32Array.from(data) });
  };
  return await model.loadAnswerer({ answering, dim: 2, tensor });
}

/** An encoder that knows a vector for each text, and one for each of its words. */
const encoder = (vectors: Record<string, readonly [number, number]>): SharedEncoder => ({
  dim: 2,
  embed: (texts) => Promise.resolve(texts.map((text) => Float32Array.from(vectors[text] ?? [0, 0]))),
  embedTokens: (texts) =>
    Promise.resolve(
      texts.map((text) => {
        const points = Array.from(text);
        const spans = wordsOf(text);
        return { spans, data: Float32Array.from(spans.flatMap(({ start, end }) => vectors[points.slice(start, end).join('')] ?? [0, 0])) };
      }),
    ),
});
const evaluationOf = (id: string): Evaluation => {
  const model = catalog.get(id);
  if (!model) throw new Error(`the catalogue lacks ${id}`);
  return model.evaluation;
};

describe('text-classification', () => {
  const tensors = { 'classifier.weight': [1, 0, 0, 1, -1, 0], 'classifier.bias': [0, 0, 0] };

  it('gives the best label with its share of the softmax, and as many others as are asked for', async () => {
    const answerer = await answererOf('text-classification', { labels: ['a', 'b', 'c'] }, tensors);
    const [output] = await answerer.answer([{ text: 'x' }], encoder({ x: [2, 1] }), { topK: 2 });
    const total = Math.exp(2) + Math.exp(1) + Math.exp(-2);
    expect(output).toEqual({
      label: 'a',
      score: expect.closeTo(Math.exp(2) / total, 6) as number,
      labels: [
        { label: 'a', score: expect.closeTo(Math.exp(2) / total, 6) as number },
        { label: 'b', score: expect.closeTo(Math.exp(1) / total, 6) as number },
      ],
    });
  });

  it('flattens scores by the temperature, and says what is below the threshold to be out of scope', async () => {
    const answerer = await answererOf('text-classification', { labels: ['a', 'b', 'c'], temperature: 2, threshold: 0.6 }, tensors);
    const outputs = await answerer.answer([{ text: 'sure' }, { text: 'unsure' }], encoder({ sure: [6, 0], unsure: [1, 1] }), { topK: 1 });
    expect(outputs.map(({ inScope }) => inScope)).toEqual([true, false]);
    expect(outputs[0]?.['score']).toBeCloseTo(Math.exp(3) / (Math.exp(3) + 1 + Math.exp(-3)), 6);
  });

  it('judges a row out of scope by what is said of its scope', () => {
    const { measure, credit } = evaluationOf('text-classification');
    const stranger = { label: 'none', inScope: false };
    expect(credit(stranger, { label: 'a', inScope: false })).toBe(1);
    expect(credit(stranger, { label: 'a', inScope: true })).toBe(0);
    const rows = [
      { expected: { label: 'a' }, predicted: { label: 'a', inScope: true } },
      { expected: { label: 'a' }, predicted: { label: 'a', inScope: false } },
      { expected: { label: 'b' }, predicted: { label: 'a', inScope: true } },
      { expected: stranger, predicted: { label: 'a', inScope: false } },
    ];
    expect(measure(rows).values).toMatchObject({
      accuracy: 3 / 4,
      inScopeAccuracy: 2 / 3,
      outOfScopeRecall: 1,
      falselyOutOfScope: 1 / 3,
    });
    expect(measure(rows).perLabel['a']).toEqual({ precision: 2 / 3, recall: 1, f1: 0.8, support: 2 });
  });

  it('refuses tensors that do not fit the labels', async () => {
    await expect(answererOf('text-classification', { labels: ['a', 'b'] }, tensors)).rejects.toThrow('do not fit 2 outputs');
    await expect(answererOf('text-classification', {}, tensors)).rejects.toThrow('"labels"');
  });
});

describe('multi-label-classification', () => {
  it('gives every label at or above the threshold, falling by score, or none', async () => {
    const answering = { labels: ['a', 'b', 'c'], threshold: 0.5 };
    const tensors = { 'classifier.weight': [1, 0, 2, 0, 0, 1], 'classifier.bias': [0, 0, -1] };
    const answerer = await answererOf('multi-label-classification', answering, tensors);
    const [both, edge, none] = await answerer.answer(
      [{ text: 'both' }, { text: 'edge' }, { text: 'none' }],
      encoder({ both: [1, 0], edge: [-1, 1], none: [-1, -1] }),
      { topK: 1 },
    );
    expect(both).toEqual({
      labels: [
        { label: 'b', score: expect.closeTo(1 / (1 + Math.exp(-2)), 6) as number },
        { label: 'a', score: expect.closeTo(1 / (1 + Math.exp(-1)), 6) as number },
      ],
    });
    expect(edge).toEqual({ labels: [{ label: 'c', score: 0.5 }] });
    expect(none).toEqual({ labels: [] });
  });

  it('counts labels over all rows together, and a row by the share that is right', () => {
    const { measure, credit } = evaluationOf('multi-label-classification');
    const answer = (...labels: string[]): Answer => ({ labels: labels.map((label) => ({ label, score: 1 })) });
    expect(credit({ labels: [] }, answer())).toBe(1);
    expect(credit({ labels: ['a', 'b'] }, answer('b', 'c'))).toBeCloseTo(1 / 3, 10);
    const measured = measure([
      { expected: { labels: ['a', 'b'] }, predicted: answer('a') },
      { expected: { labels: [] }, predicted: answer('a') },
    ]);
    expect(measured.values).toMatchObject({ microPrecision: 1 / 2, microRecall: 1 / 2, microF1: 1 / 2, exactMatch: 0 });
    expect(measured.perLabel['b']).toEqual({ precision: 0, recall: 0, f1: 0, support: 1 });
  });
});

describe('text-similarity', () => {
  const answering = { answerIds: ['x', 'y', 'x'], answers: { x: 'the answer' }, threshold: 0.3 };
  const tensors = { 'index.embeddings': [1, 0, 0, 1, 0.6, 0.8] };

  it('gives each answer by its nearest question, best first, and none below the threshold', async () => {
    const answerer = await answererOf('text-similarity', answering, tensors);
    const known = encoder({ near: [0.6, 0.8], far: [-1, 0] });
    const ask = async (question: string, topK: number): Promise<Answer | undefined> =>
      (await answerer.answer([{ question }], known, { topK }))[0];
    expect(await ask('near', 5)).toEqual({
      answers: [
        { answerId: 'x', score: expect.closeTo(1, 6) as number, answer: 'the answer' },
        { answerId: 'y', score: expect.closeTo(0.8, 6) as number },
      ],
    });
    expect((await ask('near', 1))?.['answers']).toHaveLength(1);
    expect(await ask('far', 5)).toEqual({ answers: [] });
  });

  it('is judged by what comes first, and by the rank of what is right', () => {
    const answers = (...ids: string[]): Answer => ({ answers: ids.map((answerId) => ({ answerId, score: 1 })) });
    const measured = evaluationOf('text-similarity').measure([
      { expected: { answerId: 'x' }, predicted: answers('x', 'y') },
      { expected: { answerId: 'x' }, predicted: answers('y', 'x') },
      { expected: { answerId: 'x' }, predicted: answers() },
      { expected: { answerId: 'z' }, predicted: answers('y') },
    ]);
    expect(measured.values).toEqual({ accuracy: 1 / 4, mrr: 1.5 / 4, answered: 3 / 4, accuracyOfAnswered: 1 / 3 });
    expect(measured.perLabel['x']).toMatchObject({ recall: 1 / 3, support: 3 });
  });
});

describe('text-scoring', () => {
  it('gives a number on the scale that was learned, and never one outside of it', async () => {
    const answering = { mean: 3, scale: 2, minimum: 1, maximum: 5 };
    const answerer = await answererOf('text-scoring', answering, { 'regressor.weight': [1, 0], 'regressor.bias': [0.25] });
    const outputs = await answerer.answer([{ text: 'a' }, { text: 'b' }, { text: 'c' }], encoder({ a: [0.5, 0], b: [9, 0], c: [-9, 0] }), {
      topK: 1,
    });
    expect(outputs).toEqual([{ score: 4.5 }, { score: 5 }, { score: 1 }]);
  });

  it('is judged by its correlation, which does not mind the scale, and by its error, which does', () => {
    const rows = [1, 2, 3, 4].map((score) => ({ expected: { score }, predicted: { score: score * 10 } }));
    const { values } = evaluationOf('text-scoring').measure(rows);
    expect(values['pearson']).toBeCloseTo(1, 10);
    expect(values['meanAbsoluteError']).toBeCloseTo(22.5, 10);
    const { measure, credit } = evaluationOf('text-scoring');
    // By hand: deviations (-1, 0, 1) and (0, 1, -1).
    const crossed = [
      [1, 5],
      [2, 6],
      [3, 4],
    ].map(([right, given]) => ({ expected: { score: right as number }, predicted: { score: given as number } }));
    expect(measure(crossed).values['pearson']).toBeCloseTo(-0.5, 10);
    expect(measure(crossed).values['spearman']).toBeCloseTo(-0.5, 10);
    expect(measure([{ expected: { score: 1 }, predicted: { score: 1 } }]).values['pearson']).toBe(0);
    expect([credit({ score: 2 }, { score: 2 }), credit({ score: 2 }, { score: 3 })]).toEqual([1, 0.5]);
  });
});

describe('entity-extraction', () => {
  const tags = ['O', 'B-city', 'I-city', 'B-date', 'I-date'];
  // The first number of a word chooses between O, B-city and I-city; the second B-date.
  const tensors = { 'tagger.weight': [0, 0, 9, 0, -9, 0, 0, 9, 0, -9], 'tagger.bias': [0.5, 0, 0, 0, 0] };
  const begin = [1, 0] as const;
  const inside = [-1, 0] as const;
  const entities = async (text: string, vectors: Record<string, readonly [number, number]>): Promise<unknown> =>
    (await (await answererOf('entity-extraction', { tags }, tensors)).answer([{ text }], encoder(vectors), { topK: 1 }))[0]?.['entities'];

  it('cuts texts into words as the trainer does', () => {
    const shared = JSON.parse(readFileSync(join(import.meta.dirname, 'entity-extraction/words.json'), 'utf8')) as {
      text: string;
      words: string[];
    }[];
    expect(shared.length).toBeGreaterThan(8);
    for (const { text, words } of shared) {
      const points = Array.from(text);
      expect(wordsOf(text).map(({ start, end }) => points.slice(start, end).join(''))).toEqual(words);
    }
  });

  it('gives offsets in code points, after emoji and in Chinese', async () => {
    const vectors = { New: begin, York: inside, 北: begin, 京: inside };
    expect(await entities('🙂🙂 to New York!', vectors)).toMatchObject([{ start: 6, end: 14, label: 'city', text: 'New York' }]);
    expect(await entities('👩‍🍳去北京。', vectors)).toMatchObject([{ start: 4, end: 6, label: 'city', text: '北京' }]);
    expect(await entities('𠮷 北京', vectors)).toMatchObject([{ start: 2, end: 4, text: '北京' }]);
    expect(await entities('nothing here', vectors)).toEqual([]);
  });

  it('opens a span where an inside tag has none of its kind before it, and a new one at every begin', async () => {
    expect(await entities('York New New', { New: begin, York: inside })).toMatchObject([
      { start: 0, end: 4 },
      { start: 5, end: 8 },
      { start: 9, end: 12 },
    ]);
    expect(await entities('May York', { May: [0, 1], York: inside })).toMatchObject([
      { label: 'date', text: 'May' },
      { label: 'city', text: 'York' },
    ]);
  });

  it('lets a word in which no token begins go on as the one before, and reads nothing behind the last token', () => {
    const words = wordsOf('去餐馆 hello吧');
    const spans = [
      [0, 1],
      [1, 3],
      [4, 6],
      [6, 9],
    ].map(([start, end]) => ({ start: start as number, end: end as number }));
    expect(speakersOf(words, spans)).toEqual([0, 1, -2, 2, -1]);
  });

  it('is judged by spans that are right in both ends and label', () => {
    const { measure, credit, confusions } = evaluationOf('entity-extraction');
    const of = (...found: [number, number, string][]): Answer => ({
      entities: found.map(([start, end, label]) => ({ start, end, label })),
    });
    const [right, given] = [of([0, 4, 'city'], [5, 8, 'date']), of([0, 4, 'city'], [5, 7, 'date'], [9, 10, 'city'])];
    expect(credit(right, given)).toBeCloseTo(2 / 5, 10);
    expect(credit(of(), of())).toBe(1);
    expect(measure([{ expected: right, predicted: given }]).values).toMatchObject({
      entityPrecision: 1 / 3,
      entityRecall: 1 / 2,
      entityF1: 0.4,
    });
    expect(confusions?.(right, given)).toEqual([
      ['date', 'date (other ends)'],
      ['-', 'city'],
    ]);
  });

  it('takes no example whose spans are empty, overlap or lie outside of the text', () => {
    const { exampleProblem } = evaluationOf('entity-extraction');
    const of = (text: string, ...found: [number, number][]): string | undefined =>
      exampleProblem?.({ text, entities: found.map(([start, end]) => ({ start, end, label: 'x' })) })?.message;
    expect(of('🙂ab', [1, 3], [0, 1])).toBeUndefined();
    expect(of('🙂ab', [1, 4])).toContain('outside');
    expect(of('abc', [1, 1])).toContain('before');
    expect(of('abc', [0, 2], [1, 3])).toBe('overlap');
  });
});
