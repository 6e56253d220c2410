import type { LabelMetrics } from '../core/model.ts';

/** Right, wrong and missed answers of each label, and what follows from them. */
export class LabelTally {
  readonly #labels = new Map<string, { right: number; answered: number; expected: number }>();

  #of(label: string): { right: number; answered: number; expected: number } {
    const known = this.#labels.get(label);
    if (known) return known;
    const fresh = { right: 0, answered: 0, expected: 0 };
    this.#labels.set(label, fresh);
    return fresh;
  }

  expected(label: string): void {
    this.#of(label).expected += 1;
  }

  answered(label: string, right: boolean): void {
    const of = this.#of(label);
    of.answered += 1;
    if (right) of.right += 1;
  }

  /** Of labels that occur among the right answers. */
  get perLabel(): Record<string, LabelMetrics> {
    const rated = [...this.#labels].filter(([, { expected }]) => expected > 0).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(
      rated.map(([label, { right, answered, expected }]) => [label, { ...figures(right, answered, expected), support: expected }]),
    );
  }

  /** Over all labels together. */
  get micro(): Omit<LabelMetrics, 'support'> {
    const sum = { right: 0, answered: 0, expected: 0 };
    for (const { right, answered, expected } of this.#labels.values()) {
      sum.right += right;
      sum.answered += answered;
      sum.expected += expected;
    }
    return figures(sum.right, sum.answered, sum.expected);
  }
}

/** Zero where there is nothing to divide by. */
function figures(right: number, answered: number, expected: number): Omit<LabelMetrics, 'support'> {
  const precision = answered === 0 ? 0 : right / answered;
  const recall = expected === 0 ? 0 : right / expected;
  return { precision, recall, f1: right === 0 ? 0 : (2 * precision * recall) / (precision + recall) };
}

export const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

/** The mean F1 of the labels: rare ones count as much as frequent ones. */
export const macroF1 = (perLabel: Readonly<Record<string, LabelMetrics>>): number => mean(Object.values(perLabel).map(({ f1 }) => f1));
