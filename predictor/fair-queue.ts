type Line<T> = { readonly items: readonly T[]; at: number };

/**
 * What waits, by owner. Owners take turns, one item a turn, and so do the requests of one owner: who asks for a thousand at once waits longer for
 * the last of them, but nobody else does.
 */
export class FairQueue<T> {
  /** In order of turns: a map keeps the order in which its keys were set. */
  readonly #owners = new Map<string, Line<T>[]>();

  /** The answer takes what still waits of these items out of the queue. */
  add(owner: string, items: readonly T[]): () => void {
    const line: Line<T> = { items, at: 0 };
    const lines = this.#owners.get(owner);
    if (lines) lines.push(line);
    else this.#owners.set(owner, [line]);
    return () => void (line.at = items.length);
  }

  /** As many as the budget pays for, one at least. The first that is too dear stays the next in line, so that nobody is passed over for ever. */
  take(budget: number, costOf: (item: T) => number): T[] {
    const taken: T[] = [];
    let spent = 0;
    for (let next = this.#next(); next; next = this.#next()) {
      const [owner, lines, line] = next;
      const item = line.items[line.at] as T;
      spent += costOf(item);
      if (taken.length > 0 && spent > budget) break;
      taken.push(item);
      line.at += 1;
      lines.shift();
      if (line.at < line.items.length) lines.push(line);
      this.#owners.delete(owner);
      if (lines.length > 0) this.#owners.set(owner, lines);
    }
    return taken;
  }

  /** Whose turn it is. Lines with nothing left, which were taken out meanwhile, are dropped on the way. */
  #next(): readonly [string, Line<T>[], Line<T>] | null {
    for (const [owner, lines] of this.#owners) {
      for (let line = lines[0]; line; line = lines[0]) {
        if (line.at < line.items.length) return [owner, lines, line];
        lines.shift();
      }
      this.#owners.delete(owner);
    }
    return null;
  }
}
