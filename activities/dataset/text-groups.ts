import { createHash } from 'node:crypto';

/** Distinct texts that are kept in memory; what comes after them is not compared. */
const maxTexts = 1_000_000;
/** Example ids that a manifest names. */
const maxNamed = 50;

type Named = { readonly exampleIds: readonly string[] };

/** Finds texts that occur more than once, and those that carry more than one answer. */
export class TextGroups {
  readonly #first = new Map<string, { id: string; answer: string; conflicting: boolean }>();
  readonly #duplicateIds: string[] = [];
  readonly #conflictIds: string[] = [];
  #duplicates = 0;
  #conflicts = 0;

  add(id: string, key: string, answer: string): void {
    const digest = createHash('sha256').update(key).digest('base64').slice(0, 16);
    const first = this.#first.get(digest);
    if (!first) {
      if (this.#first.size < maxTexts) this.#first.set(digest, { id, answer, conflicting: false });
      return;
    }
    this.#duplicates += 1;
    if (this.#duplicateIds.length < maxNamed) this.#duplicateIds.push(id);
    if (first.answer === answer) return;
    if (!first.conflicting) {
      first.conflicting = true;
      this.#conflicts += 1;
      if (this.#conflictIds.length < maxNamed) this.#conflictIds.push(first.id);
    }
    if (this.#conflictIds.length < maxNamed) this.#conflictIds.push(id);
  }

  get duplicates(): Named & { readonly rows: number } {
    return { rows: this.#duplicates, exampleIds: this.#duplicateIds };
  }

  get conflicts(): Named & { readonly groups: number } {
    return { groups: this.#conflicts, exampleIds: this.#conflictIds };
  }
}
