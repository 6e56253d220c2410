import type { LanguageCounts } from '../../core/dataset.ts';
import { fineRange } from './bucket-count.ts';
import { unknownLanguage } from './choose-encoder.ts';
import type { RowShaper } from './dataset-row.ts';
import type { LabelCounts, SideCounts } from './label-counts.ts';
import { languageOf } from './language-of.ts';
import { leafDigest, merkleRoot } from '../../store/merkle.ts';
import type { RowReader, SourceRow } from './row-source.ts';

export type ScannedRow = { readonly id: string; readonly line: string; readonly digest: Buffer };
export type ScannedBucket = {
  readonly index: number;
  /** In the order of the file: by finest bucket, then by id. */
  readonly rows: readonly ScannedRow[];
  readonly digest: string;
  readonly labels: LabelCounts;
  readonly languages: LanguageCounts;
  readonly counts: SideCounts;
  readonly texts: readonly { readonly id: string; readonly key: string; readonly answer: string }[];
  readonly excluded: readonly { readonly id: string; readonly reason: string }[];
};

/** Rows between two signs of life. */
const beatEveryRows = 5_000;

/** Buckets of the source, in the order of `indexes` (ascending), one at a time in memory: the source is read once, under its snapshot. */
export async function* scanBuckets(
  reader: RowReader,
  indexes: readonly number[],
  bucketCount: number,
  shape: RowShaper,
  beat: () => void,
): AsyncGenerator<ScannedBucket> {
  const ranges = indexes.map((index) => fineRange(index, bucketCount));
  const found = reader.rows(ranges)[Symbol.asyncIterator]();
  let seen = 0;
  const next = async (): Promise<SourceRow | null> => {
    if (++seen % beatEveryRows === 0) beat();
    const { done, value } = await found.next();
    return done ? null : value;
  };
  try {
    let row = indexes.length > 0 ? await next() : null;
    for (const [i, index] of indexes.entries()) {
      const { first, last } = ranges[i] ?? fineRange(index, bucketCount);
      const filling = new FillingBucket(index, first, last);
      for (; row && row.fine <= last; row = await next()) filling.add(row, shape);
      yield filling.scanned();
    }
  } finally {
    // A reader that stops early must not leave rows on the connection.
    await found.return?.();
  }
}

class FillingBucket {
  readonly #index: number;
  readonly #first: number;
  readonly #leaves: Buffer[][];
  readonly #rows: ScannedRow[] = [];
  readonly #labels: Record<string, { train: number; evaluation: number }> = {};
  readonly #languages: Record<string, number> = {};
  readonly #counts = { train: 0, evaluation: 0 };
  readonly #texts: { id: string; key: string; answer: string }[] = [];
  readonly #excluded: { id: string; reason: string }[] = [];

  constructor(index: number, first: number, last: number) {
    this.#index = index;
    this.#first = first;
    this.#leaves = Array.from({ length: last - first + 1 }, () => []);
  }

  add({ id, fine, content, problem }: SourceRow, shape: RowShaper): void {
    const shaped = problem === null ? shape(id, content) : { used: false as const, reason: problem };
    if (!shaped.used) {
      this.#excluded.push({ id, reason: shaped.reason });
      return;
    }
    const line = JSON.stringify(shaped.row);
    const digest = leafDigest(line);
    this.#leaves[fine - this.#first]?.push(digest);
    this.#rows.push({ id, line, digest });
    const { split } = shaped.row;
    this.#texts.push({ id, key: shaped.textKey, answer: shaped.facts.answer });
    this.#counts[split] += 1;
    const language = languageOf(shaped.textKey) ?? unknownLanguage;
    this.#languages[language] = (this.#languages[language] ?? 0) + 1;
    for (const label of shaped.facts.labels) (this.#labels[label] ??= { train: 0, evaluation: 0 })[split] += 1;
  }

  scanned(): ScannedBucket {
    return {
      index: this.#index,
      rows: this.#rows,
      digest: merkleRoot(this.#leaves.map(merkleRoot)).toString('hex'),
      labels: this.#labels,
      counts: this.#counts,
      languages: this.#languages,
      texts: this.#texts,
      excluded: this.#excluded,
    };
  }
}
