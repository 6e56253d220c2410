import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { loadCatalog } from '../../catalog/catalog.ts';
import { noBuckets, withBucket } from '../../core/dirty-buckets.ts';
import { bucketCountFor, bucketsToRead, fineRange } from './bucket-count.ts';
import { rowShaper } from './dataset-row.ts';
import { Exclusions } from './exclusions.ts';
import type { RowReader, SourceRow } from './row-source.ts';
import { type ScannedBucket, scanBuckets } from './scan-bucket.ts';
import { missingData } from '../../catalog/minimum-data.ts';
import { rowsByLabel, sidesOf, sumLabels } from './label-counts.ts';
import { leafDigest, merkleRoot } from '../../store/merkle.ts';
import { evaluationShare, normalisedText, splitOf } from './split.ts';
import { TextGroups } from './text-groups.ts';

const catalog = await loadCatalog();
const model = catalog.get('text-classification');
if (!model) throw new Error('the catalogue lacks text-classification');

describe('the Merkle root', () => {
  const digests = (n: number): Buffer[] => Array.from({ length: n }, (_, i) => leafDigest(`row ${i}`));

  it('equals the tree of RFC 6962 for three leaves', () => {
    const [a, b, c] = digests(3) as [Buffer, Buffer, Buffer];
    const node = (l: Buffer, r: Buffer): Buffer =>
      createHash('sha256')
        .update(Buffer.from([1]))
        .update(l)
        .update(r)
        .digest();
    expect(merkleRoot([a, b, c])).toEqual(node(node(a, b), c));
  });

  it('is the same however a power of two of leaves is cut into even parts', () => {
    const leaves = digests(256);
    for (const parts of [1, 2, 16, 256]) {
      const size = 256 / parts;
      const roots = Array.from({ length: parts }, (_, i) => merkleRoot(leaves.slice(i * size, (i + 1) * size)));
      expect(merkleRoot(roots)).toEqual(merkleRoot(leaves));
    }
  });

  it('changes with the order, and an inner node does not pass for a row', () => {
    const [a, b] = digests(2) as [Buffer, Buffer];
    expect(merkleRoot([a, b])).not.toEqual(merkleRoot([b, a]));
    expect(leafDigest(Buffer.concat([a, b]))).not.toEqual(merkleRoot([a, b]));
  });
});

describe('the split', () => {
  it('gives about the evaluation share to evaluation, and another salt another choice', () => {
    const side = (salt: string): string[] => Array.from({ length: 4_000 }, (_, i) => splitOf(salt, `text ${i}`));
    const share = side('a').filter((split) => split === 'evaluation').length / 4_000;
    expect(Math.abs(share - evaluationShare)).toBeLessThan(0.02);
    expect(side('a')).not.toEqual(side('b'));
    expect(side('a')).toEqual(side('a'));
  });

  it('takes texts that differ in case, width, punctuation or white space for one', () => {
    expect(normalisedText('  Where is\tmy CARD?! ')).toBe(normalisedText('where is my card'));
    expect(normalisedText('Ｃａｒｄ')).toBe('card');
    expect(normalisedText('カード, 届く?')).toBe('カード 届く');
    expect(normalisedText('!?')).toBe('!?');
    expect(normalisedText('naïve')).not.toBe(normalisedText('naive'));
  });
});

describe('a row of the table', () => {
  const shape = rowShaper(model, 'salt', 100);
  it('keeps what the trainer learns from, and neither group nor pinned split', () => {
    expect(shape('a', { text: 'Hello', label: 'x', weight: 2, group: 'g', split: 'train' })).toMatchObject({
      used: true,
      row: { id: 'a', split: 'train', text: 'Hello', label: 'x', weight: 2 },
    });
    expect(JSON.stringify(shape('a', { text: 'Hello', label: 'x', group: 'g' }))).not.toContain('"group"');
  });

  it('asks and never teaches when it is golden, whatever side it is pinned to', () => {
    for (const more of [{}, { split: 'train' }, { group: 'g' }])
      expect(shape('a', { text: 'Hello', label: 'x', golden: true, ...more })).toMatchObject({
        row: { split: 'evaluation', golden: true },
      });
    expect(shape('a', { text: 'Hello', label: 'x', golden: false, split: 'train' })).toMatchObject({ row: { split: 'train' } });
  });

  it('goes where its group goes, whatever its text', () => {
    for (let i = 0; i < 20; i++) {
      const sides = ['one', 'two', 'three'].map((text) => {
        const shaped = shape(text, { text, label: 'x', group: `g${i}` });
        return shaped.used ? shaped.row.split : shaped.reason;
      });
      expect(new Set(sides).size).toBe(1);
    }
  });

  it('is left out with the field and the kind of mistake, never with its content', () => {
    for (const content of [
      { text: 'secret words' },
      { text: 5, label: 'x' },
      { text: 'secret words', label: 'x', extra: 1 },
      null,
      'secret words',
    ]) {
      const shaped = shape('a', content);
      expect(shaped.used).toBe(false);
      expect(JSON.stringify(shaped)).not.toContain('secret');
    }
    expect(shape('a', { text: '  ', label: 'x' })).toEqual({ used: false, reason: '/text blank' });
    expect(shape('a', { text: 'x'.repeat(300), label: 'x' })).toEqual({ used: false, reason: '/text too_big' });
  });
});

describe('rows of business models with several labels or none', () => {
  const scan = async (id: string, contents: readonly object[]): Promise<ScannedBucket> => {
    const other = catalog.get(id);
    if (!other) throw new Error(`the catalogue lacks ${id}`);
    const rows = async function* (): AsyncGenerator<SourceRow> {
      for (const [i, content] of contents.entries()) yield await Promise.resolve({ id: `r${i}`, fine: 0, content, problem: null });
    };
    const reader: RowReader = { count: () => Promise.resolve(contents.length), fingerprints: () => Promise.resolve(null), rows };
    for await (const scanned of scanBuckets(reader, [0], 1, rowShaper(other, 'salt', 100), () => undefined)) return scanned;
    throw new Error('nothing was scanned');
  };

  it('count under each of their labels, and once as rows', async () => {
    const scanned = await scan('multi-label-classification', [
      { text: 'one', labels: ['a', 'b'], split: 'train' },
      { text: 'two', labels: ['b'], split: 'evaluation' },
      { text: 'three', labels: [], split: 'train' },
    ]);
    expect(scanned.labels).toEqual({ a: { train: 1, evaluation: 0 }, b: { train: 1, evaluation: 1 } });
    expect(scanned.counts).toEqual({ train: 2, evaluation: 1 });
    const scores = await scan('text-scoring', [{ text: 'one', score: 1, split: 'train' }]);
    expect([scores.labels, scores.counts]).toEqual([{}, { train: 1, evaluation: 0 }]);
  });

  it('stand for their own text field, and contradict each other whatever the order of a list', async () => {
    const question = await scan('text-similarity', [{ question: 'Where is it?', answerId: 'x', answer: 'There.' }]);
    expect(question.texts).toEqual([{ id: 'r0', key: 'where is it', answer: '["x"]' }]);
    const [a, b, c] = (
      await scan('multi-label-classification', [
        { text: 'x', labels: ['a', 'b'] },
        { text: 'x', labels: ['b', 'a'] },
        { text: 'x', labels: ['a'] },
      ])
    ).texts.map(({ answer }) => answer);
    expect(a).toBe(b);
    expect(a).not.toBe(c);
  });

  it('are left out where they are wrong beyond their schema', async () => {
    const { rows, excluded } = await scan('entity-extraction', [
      { text: 'abc', entities: [{ start: 0, end: 9, label: 'x' }] },
      { text: '🙂ab', entities: [{ start: 1, end: 3, label: 'x' }] },
    ]);
    expect(rows.map(({ id }) => id)).toEqual(['r1']);
    expect(excluded[0]?.reason).toMatch(/^\/entities /);
  });
});

describe('buckets', () => {
  it('grow with the rows, are a power of two, and stay as they are while they fit', () => {
    expect([0, 1_000, 1_001, 5_000, 10_000_000].map((rows) => bucketCountFor(rows, null))).toEqual([1, 1, 2, 8, 256]);
    expect(bucketCountFor(3_500, 1)).toBe(1);
    expect(bucketCountFor(4_001, 1)).toBe(8);
    expect(bucketCountFor(10, 16)).toBe(1);
    expect(bucketCountFor(5_000, 16)).toBe(16);
  });

  it('cover the finest buckets without gap or overlap', () => {
    const covered = Array.from({ length: 8 }, (_, i) => fineRange(i, 8)).flatMap(({ first, last }) =>
      Array.from({ length: last - first + 1 }, (_, i) => first + i),
    );
    expect(covered).toEqual(Array.from({ length: 256 }, (_, i) => i));
  });

  it('are read where a finest bucket is dirty, all of them when nothing is known', () => {
    expect(bucketsToRead(withBucket(withBucket(noBuckets, 0), 200), 16)).toEqual([0, 12]);
    expect(bucketsToRead(null, 4)).toEqual([0, 1, 2, 3]);
    expect(bucketsToRead(noBuckets, 4)).toEqual([]);
  });
});

describe('counts', () => {
  it('add up by label, and say what is missing', () => {
    const labels = sumLabels([{ b: { train: 5, evaluation: 1 } }, { a: { train: 8, evaluation: 0 }, b: { train: 1, evaluation: 0 } }]);
    expect(labels).toEqual({ a: { train: 8, evaluation: 0 }, b: { train: 6, evaluation: 1 } });
    expect(missingData(rowsByLabel(labels), 14, { labels: 2, examplesPerLabel: 7, rows: 14 })).toEqual([]);
    expect(missingData(rowsByLabel(labels), 14, { labels: 2, examplesPerLabel: 8, rows: 20 })).toEqual([
      'at least 2 labels with 8 examples each are needed, 1 has that many ("b" has 7)',
    ]);
    expect(missingData([], 0, { labels: 2, examplesPerLabel: 8, rows: 0 })[0]).toContain('0 have that many');
    expect(missingData([], 29, { labels: 0, examplesPerLabel: 0, rows: 30 })).toEqual(['at least 30 examples are needed, there are 29']);
    expect(missingData([], 30, { labels: 0, examplesPerLabel: 0, rows: 30 })).toEqual([]);
  });

  it('of a bucket are its own where rows have several labels or none, and the sum of its labels in old datasets', () => {
    const labels = { a: { train: 3, evaluation: 1 }, b: { train: 2, evaluation: 0 } };
    expect(sidesOf({ labels })).toEqual({ train: 5, evaluation: 1 });
    expect(sidesOf({ labels, counts: { train: 4, evaluation: 2 } })).toEqual({ train: 4, evaluation: 2 });
  });

  it('tell repeated texts from contradicting ones', () => {
    const groups = new TextGroups();
    groups.add('1', 'a', 'x');
    groups.add('2', 'a', 'x');
    groups.add('3', 'b', 'x');
    groups.add('4', 'b', 'y');
    groups.add('5', 'c', 'x');
    expect(groups.duplicates).toEqual({ rows: 2, exampleIds: ['2', '4'] });
    expect(groups.conflicts).toEqual({ groups: 1, exampleIds: ['3', '4'] });
  });

  it('carry exclusions of buckets that were not read again over from the parent', () => {
    const exclusions = new Exclusions();
    exclusions.replace(1, [{ id: 'q', reason: '/text blank' }]);
    const parent = [
      { bucket: 0, reason: '/label invalid_type', rows: 1, exampleIds: ['p'] },
      { bucket: 1, reason: '/label invalid_type', rows: 1, exampleIds: ['old'] },
    ];
    expect(exclusions.list(parent, new Set([1])).map(({ bucket, exampleIds }) => [bucket, ...exampleIds])).toEqual([
      [0, 'p'],
      [1, 'q'],
    ]);
  });
});
