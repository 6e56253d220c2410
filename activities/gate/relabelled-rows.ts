import type { BusinessModel } from '../../catalog/catalog.ts';
import { factsOf } from '../../catalog/example-facts.ts';
import type { DatasetRow } from '../../core/dataset.ts';

/** Counts rows of two datasets that have the same id and text, and those of them that have another answer. */
export class RelabelledRows {
  readonly #model: Pick<BusinessModel, 'fields'>;
  readonly #labels = new Map<string, { rows: number; relabelled: number }>();
  #compared = 0;
  #relabelled = 0;

  constructor(model: Pick<BusinessModel, 'fields'>) {
    this.#model = model;
  }

  /** Rows that are the same in both need not be given one by one. */
  addSame(rows: number, labels: Readonly<Record<string, { readonly train: number; readonly evaluation: number }>>): void {
    this.#compared += rows;
    for (const [label, { train, evaluation }] of Object.entries(labels)) this.#of(label).rows += train + evaluation;
  }

  add(before: Iterable<DatasetRow>, after: Iterable<DatasetRow>): void {
    const was = new Map<string, DatasetRow>();
    for (const row of before) was.set(row.id, row);
    for (const row of after) {
      const earlier = was.get(row.id);
      if (!earlier) continue;
      const [old, now] = [factsOf(this.#model, earlier), factsOf(this.#model, row)];
      // An edited text is another example: its answer may well be another.
      if (old.text !== now.text) continue;
      const changed = old.answer !== now.answer;
      this.#compared += 1;
      if (changed) this.#relabelled += 1;
      for (const label of old.labels) {
        const counts = this.#of(label);
        counts.rows += 1;
        if (changed && !now.labels.includes(label)) counts.relabelled += 1;
      }
    }
  }

  get compared(): number {
    return this.#compared;
  }

  get relabelled(): number {
    return this.#relabelled;
  }

  /** By the label that the rows had; only labels that lost rows in this way. */
  get labels(): Readonly<Record<string, { readonly rows: number; readonly relabelled: number }>> {
    return Object.fromEntries([...this.#labels].filter(([, { relabelled }]) => relabelled > 0).sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #of(label: string): { rows: number; relabelled: number } {
    const counts = this.#labels.get(label) ?? { rows: 0, relabelled: 0 };
    this.#labels.set(label, counts);
    return counts;
  }
}
