import { zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import { textOf } from '../../catalog/contract.ts';
import type { DatasetManifest, DatasetRow } from '../../core/dataset.ts';
import type { GateDataFacts } from '../../core/model.ts';
import type { ObjectRef } from '../../core/object-ref.ts';
import { sumLabels } from '../dataset/label-counts.ts';
import { dataFacts } from './data-facts.ts';
import { dataProblems } from './data-problems.ts';
import { gateDetails } from './details.ts';
import { LeakedRows } from './leaked-rows.ts';
import { type Evidence, type Judged, judge } from './verdict.ts';

const catalog = await loadCatalog();
const model = (() => {
  const found = catalog.get('text-classification');
  if (!found) throw new Error('the catalogue lacks text-classification');
  return found;
})();

const clean: GateDataFacts = { evaluationRows: 100, leaked: { rows: 0, exampleIds: [] }, labels: {}, before: null };
const evidence: Evidence = { data: clean, golden: new Set(), modelBytes: 1_000, published: null };
const rows = (label: string, n: number, candidate: number, current: number): Judged[] =>
  Array.from({ length: n }, (_, i) => ({
    id: `${label}-${i}`,
    expected: { label },
    predicted: { label: i < candidate ? label : 'wrong' },
    current: { label: i < current ? label : 'wrong' },
  }));

/** Words that no other number gives. */
const longText = (n: number): string => Array.from({ length: 40 }, (_, i) => ((n * 7919 + i * 104_729) % 99_991).toString(36)).join(' ');

describe('rows that were learned and are asked', () => {
  const leakedOf = (asked: readonly string[], learned: readonly string[]): readonly string[] => {
    const leaks = new LeakedRows();
    asked.forEach((text, i) => leaks.addEvaluation(`e${i}`, text));
    learned.forEach((text) => leaks.addTraining(text));
    return leaks.ids;
  };

  it('are found by their text, whatever its case and punctuation', () => {
    expect(leakedOf(['Where is my card?', 'Who are you?'], ['WHERE is my  card', 'Who is it?'])).toEqual(['e0']);
    expect(leakedOf(['我的卡在哪里？'], ['我的卡在哪里'])).toEqual(['e0']);
  });

  it('are found where a long text was changed here and there, and other long texts are not', () => {
    expect(leakedOf([longText(1), longText(2)], [`Fwd: ${longText(1)} regards`, longText(3)])).toEqual(['e0']);
  });

  it('are not found by what many texts have in common, such as a signature', () => {
    const letter = (n: number): string => `letter ${n} ${longText(0)}`;
    const numbers = Array.from({ length: 30 }, (_, i) => i);
    expect(
      leakedOf(
        numbers.map(letter),
        numbers.map((n) => letter(n + 100)),
      ),
    ).toEqual([]);
    expect(leakedOf(numbers.map(letter), [letter(7)])).toEqual(['e7']);
  });
});

describe('what the rows of two datasets say', () => {
  const files = new Map<string, Buffer>();
  const store = { read: (ref: ObjectRef) => Promise.resolve(files.get(ref.key) ?? Buffer.alloc(0)) };
  const manifestOf = (number: number, buckets: readonly (readonly DatasetRow[])[]): DatasetManifest => {
    const written = buckets.map((bucket, index) => {
      const text = bucket.map((row) => `${JSON.stringify(row)}\n`).join('');
      files.set(text, zstdCompressSync(text));
      const labels: Record<string, { train: number; evaluation: number }> = {};
      for (const row of bucket) (labels[textOf(row, 'label')] ??= { train: 0, evaluation: 0 })[row.split] += 1;
      return { index, ref: { bucket: 'b', key: text, sha256: '', bytes: 0 }, rows: bucket.length, digest: text, labels };
    });
    const labels = sumLabels(written.map((bucket) => bucket.labels));
    return { number, bucketCount: written.length, buckets: written, labels } as unknown as DatasetManifest;
  };
  const row = (id: string, label: string, more: { readonly [field: string]: boolean | string } = {}): DatasetRow => ({
    id,
    text: `text of ${id}`,
    label,
    split: 'train',
    ...more,
  });
  const facts = (now: DatasetManifest, before: DatasetManifest | null) => dataFacts({ store, beat: () => {} }, model, now, before);

  it('are rows with another answer by the label that they had; edited and new texts do not count', async () => {
    const before = manifestOf(1, [[row('a', 'x'), row('b', 'x'), row('c', 'y')], [row('d', 'y')]]);
    const after = manifestOf(2, [[row('a', 'y'), row('b', 'y', { text: 'edited' }), row('c', 'y'), row('new', 'x')], [row('d', 'y')]]);
    expect((await facts(after, before)).data.before).toEqual({
      number: 1,
      labels: { x: { train: 2, evaluation: 0 }, y: { train: 2, evaluation: 0 } },
      compared: 3,
      relabelled: 1,
      relabelledLabels: { x: { rows: 1, relabelled: 1 } },
    });
  });

  it('are the same where a dataset was cut into more buckets', async () => {
    const four = [[row('a', 'x')], [row('b', 'x')], [row('c', 'y')], [row('d', 'y')]];
    const two = [
      [row('a', 'x'), row('b', 'y')],
      [row('c', 'y'), row('d', 'y')],
    ];
    for (const [before, after] of [
      [four, two],
      [two, four],
    ] as const)
      expect((await facts(manifestOf(2, after), manifestOf(1, before))).data.before).toMatchObject({ compared: 4, relabelled: 1 });
  });

  it('are the golden examples of the evaluation side, and its rows that were learned', async () => {
    const now = manifestOf(1, [
      [row('g', 'x', { split: 'evaluation', golden: true }), row('e', 'x', { split: 'evaluation', text: 'Text of a!' }), row('a', 'x')],
    ]);
    const { data, golden } = await facts(now, null);
    expect([...golden]).toEqual(['g']);
    expect(data).toMatchObject({ evaluationRows: 2, leaked: { rows: 1, exampleIds: ['e'] }, before: null });
  });
});

describe('problems with the rows', () => {
  const before = (part: Partial<NonNullable<GateDataFacts['before']>>): GateDataFacts['before'] => ({
    number: 1,
    labels: {},
    compared: 100,
    relabelled: 0,
    relabelledLabels: {},
    ...part,
  });
  const of = (part: Partial<GateDataFacts>): string => dataProblems({ ...clean, ...part }, model.gate).join('; ');

  it('are evaluation rows that were learned, above a tenth', () => {
    expect(of({ leaked: { rows: 10, exampleIds: [] } })).toBe('');
    expect(of({ leaked: { rows: 11, exampleIds: [] } })).toContain('11 of the 100 evaluation rows were also learned');
    expect(of({ evaluationRows: 9, leaked: { rows: 2, exampleIds: [] } })).toBe('');
  });

  it('are rows that have another answer at once, with the labels that they had', () => {
    const relabelledLabels = { a: { rows: 40, relabelled: 3 }, b: { rows: 60, relabelled: 9 } };
    expect(of({ before: before({ relabelled: 10 }) })).toBe('');
    expect(of({ before: before({ relabelled: 12, relabelledLabels }) })).toBe(
      '12.0 % of the rows that production learned from have another answer now, most of them of label "b" (9 of 60), "a" (3 of 40)',
    );
    expect(of({ before: before({ compared: 16, relabelled: 4 }) })).toBe('');
  });

  it('are labels that have lost more than half of their rows on either side', () => {
    const labels = { gone: { train: 20, evaluation: 2 }, asked: { train: 90, evaluation: 16 }, few: { train: 4, evaluation: 1 } };
    const is = { asked: { train: 90, evaluation: 3 } };
    expect(of({ labels: is, before: before({ labels }) })).toBe(
      'most rows of label "gone" (0 of 20 training rows are left), "asked" (3 of 16 evaluation rows are left) are gone',
    );
    expect(of({ labels: { ...is, gone: { train: 10, evaluation: 1 }, asked: labels.asked }, before: before({ labels }) })).toBe('');
  });

  it('do not lie in fewer evaluation rows than chance draws now and then, where the rows are others', () => {
    const labels = { renewed: { train: 25, evaluation: 5 }, asked: { train: 0, evaluation: 8 } };
    expect(of({ labels: { renewed: { train: 28, evaluation: 2 }, asked: labels.asked }, before: before({ labels }) })).toBe('');
    // Never learned from, so that no draw explains that they are gone.
    expect(of({ labels: { renewed: labels.renewed, asked: { train: 8, evaluation: 0 } }, before: before({ labels }) })).toContain(
      '"asked"',
    );
    expect(of({ labels: { renewed: { train: 250, evaluation: 2 }, asked: labels.asked }, before: before({ labels }) })).toContain(
      '"renewed"',
    );
  });

  it('do not lie in the removal of an answer that questions are matched with', () => {
    const similarity = catalog.get('text-similarity');
    if (!similarity) throw new Error('the catalogue lacks text-similarity');
    expect(dataProblems({ ...clean, before: before({ labels: { a: { train: 20, evaluation: 5 } } }) }, similarity.gate)).toEqual([]);
  });
});

describe('a candidate that answers well', () => {
  const well = [...rows('a', 50, 49, 49), ...rows('b', 50, 48, 48)];

  it('is promoted with good evidence, and held where its rows cannot be trusted', () => {
    expect(judge(well, model, 3, evidence).verdict).toBe('promote');
    const data = { ...clean, leaked: { rows: 60, exampleIds: [] } };
    expect(judge(well, model, 3, { ...evidence, data })).toMatchObject({
      verdict: 'hold',
      explanation: expect.stringContaining(', but 60 of'),
    });
  });

  it('is held for a golden example that it answers wrong and production right', () => {
    const golden = new Set(['a-0', 'a-48', 'b-49']);
    expect(judge(well, model, 3, { ...evidence, golden }).verdict).toBe('promote');
    const lost = [...rows('a', 50, 48, 49), ...rows('b', 50, 49, 48)];
    const verdict = judge(lost, model, 3, { ...evidence, golden });
    expect([verdict.verdict, verdict.explanation]).toEqual([
      'hold',
      'accuracy 97.0 % on 100 evaluation rows, v3 reaches 97.0 % on the same rows, but golden example a-48 must be right and is answered wrong',
    ]);
    expect(gateDetails(lost, model, 3, { ...evidence, golden }).goldenLost).toEqual(['a-48']);
  });

  it('is held as a first version that answers a golden example wrong', () => {
    const first = well.map((row) => ({ ...row, current: null }));
    expect(judge(first, model, null, { ...evidence, golden: new Set(['b-49']) }).verdict).toBe('hold');
  });

  it('is held when it is larger than a version may be', () => {
    expect(judge(well, model, 3, { ...evidence, modelBytes: model.gate.maximumModelBytes + 1 }).verdict).toBe('hold');
  });

  it('holds one whose own encoder is too slow, by itself or against production, and says how slow', () => {
    const well = rows('a', 50, 50, 50);
    const timed = (candidateMs: number, currentMs: number | null) =>
      judge(well, model, currentMs === null ? null : 3, { ...evidence, latency: { tokens: 32, candidateMs, currentMs } });
    expect(timed(29, 10).verdict).toBe('promote');
    expect(timed(31, 10)).toMatchObject({
      verdict: 'hold',
      explanation: expect.stringContaining('a text of 32 tokens takes 31.0 ms of CPU time, 3.1 times the 10.0 ms of v3') as string,
    });
    expect(timed(1_000, null).verdict).toBe('promote');
    expect(timed(1_001, null).verdict).toBe('hold');
    expect(judge(well, model, 3, { ...evidence, latency: null }).verdict).toBe('promote');
  });
});

describe('a candidate that is no worse than production', () => {
  const both = [...rows('a', 50, 40, 40), ...rows('b', 50, 30, 30)];

  it('is held where both answer new rows far worse than production once did, with the worst labels', () => {
    const verdict = judge(both, model, 3, { ...evidence, published: { value: 0.96, rows: 100 } });
    expect(verdict.verdict).toBe('hold');
    expect(verdict.explanation).toContain(
      'v3 was published with accuracy 96.0 % on the rows of its time, worst at label "b" (60.0 % of 50)',
    );
  });

  it('is promoted where it fell little, or the fall may be chance', () => {
    expect(judge(both, model, 3, { ...evidence, published: { value: 0.75, rows: 100 } }).verdict).toBe('promote');
    expect(judge(both, model, 3, { ...evidence, published: { value: 0.9, rows: 8 } }).verdict).toBe('promote');
  });

  it('is held when it recognises a label far less often, though now and then', () => {
    const verdict = judge([...rows('a', 200, 200, 194), ...rows('b', 20, 8, 18)], model, 3);
    expect(verdict).toMatchObject({ verdict: 'hold', explanation: expect.stringContaining('"b" (40.0 % of 20, 90.0 % by v3)') });
  });
});
